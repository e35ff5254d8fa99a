#include "peer.h"

#include <condition_variable>
#include <iostream>
#include <map>
#include <mutex>
#include <thread>
#include <unistd.h>

#include <thrift/processor/TMultiplexedProcessor.h>
#include <thrift/server/TThreadedServer.h>
#include <thrift/transport/TServerSocket.h>

#include "Interop.h"
#include "framing.h"
#include "sample.h"

using namespace apache::thrift;
using namespace interop;

namespace peer {

namespace {

class Handler : public InteropIf {
public:
  void ping() override {}
  void echoString(std::string& out, const std::string& s) override { out = s; }
  void echoEverything(Everything& out, const Everything& e) override { out = e; }
  void verify(std::string& out, const Everything& e) override { out = differs(e, peer::sample()); }
  void sample(Everything& out) override { out = peer::sample(); }
  int64_t add(const int64_t a, const int64_t b) override { return a + b; }
  bool negate(const bool b) override { return !b; }
  double half(const double d) override { return d / 2; }

  Color::type nextColor(const Color::type c) override {
    return c == Color::RED ? Color::GREEN : c == Color::GREEN ? Color::BLUE : Color::RED;
  }

  void blob(std::string& out, const std::string& b) override { out = b; }

  int32_t divide(const int32_t a, const int32_t b) override {
    if (b != 0) return a / b;
    InvalidOperation bad;
    bad.code = 22;
    bad.why = "divide " + std::to_string(a) + " by zero";
    bad.details = {{"a", std::to_string(a)}};
    throw bad;
  }

  void notify(const std::string& key) override {
    std::lock_guard<std::mutex> hold(mutex_);
    counts_[key]++;
  }

  int64_t notified(const std::string& key) override {
    std::lock_guard<std::mutex> hold(mutex_);
    return counts_[key];
  }

  void fail() override { throw std::runtime_error("failed on purpose"); }

private:
  std::mutex mutex_;
  std::map<std::string, int64_t> counts_;
};

// Tells the address once the server listens, so that port 0 can be told.
class Ready : public server::TServerEventHandler {
public:
  void preServe() override {
    std::lock_guard<std::mutex> hold(mutex_);
    ready_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock<std::mutex> hold(mutex_);
    changed_.wait(hold, [this] { return ready_; });
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ready_ = false;
};

void listen(const std::string& serve, const std::string& prefix, const std::shared_ptr<Handler>& handler) {
  auto eq = serve.find('=');
  if (eq == std::string::npos) throw std::invalid_argument("want FRAMING=ADDR, got " + serve);
  auto framing = Framing::of(serve.substr(0, eq));
  auto addr = Address::of(serve.substr(eq + 1));
  auto plain = std::make_shared<InteropProcessor>(handler);
  auto processor = std::make_shared<TMultiplexedProcessor>();
  processor->registerDefault(plain);
  if (!prefix.empty()) processor->registerProcessor(prefix + "." + framing.name, plain);
  auto socket = addr.unix_socket ? std::make_shared<transport::TServerSocket>(addr.host)
                                 : std::make_shared<transport::TServerSocket>(addr.host, addr.port);
  auto server = std::make_shared<server::TThreadedServer>(processor, socket, framing.transports(), framing.protocols());
  auto ready = std::make_shared<Ready>();
  server->setServerEventHandler(ready);
  std::thread([server] { server->serve(); }).detach();
  ready->wait();
  std::cout << "listening " << framing.name << " "
            << (addr.unix_socket ? "unix:" + addr.host : addr.host + ":" + std::to_string(socket->getPort())) << "\n";
}

} // namespace

void serve(const std::vector<std::string>& args) {
  std::string prefix;
  auto handler = std::make_shared<Handler>();
  for (size_t i = 0; i + 1 < args.size(); i += 2) {
    if (args[i] == "--service") {
      prefix = args[i + 1];
    } else if (args[i] == "--serve") {
      listen(args[i + 1], prefix, handler);
    } else {
      throw std::invalid_argument("unknown flag " + args[i]);
    }
  }
  std::cout << "ready" << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
  }
  _exit(0); // the servers' threads still wait for callers
}

} // namespace peer
