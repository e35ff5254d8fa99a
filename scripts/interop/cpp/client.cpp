#include "peer.h"

#include <chrono>
#include <functional>
#include <iostream>
#include <set>
#include <sstream>
#include <thread>

#include <thrift/TApplicationException.h>
#include <thrift/transport/TSocket.h>

#include "Later.h"
#include "framing.h"
#include "sample.h"

using namespace apache::thrift;
using namespace interop;

namespace peer {

namespace {

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class T>
void expect(const T& got, const T& want) {
  if (got == want) return;
  std::ostringstream s;
  s.precision(17);
  s << "got " << got << ", want " << want;
  throw Failure(s.str());
}

void echo(LaterClient& c, const std::string& s) {
  std::string got;
  c.echoString(got, s);
  if (got != s) {
    throw Failure(std::to_string(got.size()) + " bytes came back of " + std::to_string(s.size()) + ", or other ones");
  }
}

void echoEverything(LaterClient& c) {
  auto sent = sample();
  sent.yes = false, sent.no = true, sent.real = 1e-300, sent.text = "";
  sent.lines.resize(14);
  sent.__set_absent(shape());
  Everything got;
  c.echoEverything(got, sent);
  expect<std::string>(differs(got, sent), "");
}

void verify(LaterClient& c) {
  std::string what;
  c.verify(what, sample());
  expect<std::string>(what, "");
}

void takeSample(LaterClient& c) {
  Everything got;
  c.sample(got);
  expect<std::string>(differs(got, sample()), "");
}

void add(LaterClient& c) {
  constexpr int64_t big = (int64_t{1} << 53) + 1;
  expect<int64_t>(c.add(big, 41), big + 41);
  expect<int64_t>(c.add(-big, -7), -big - 7);
}

void negate(LaterClient& c) {
  expect(c.negate(true), false);
  expect(c.negate(false), true);
}

void nextColor(LaterClient& c) {
  expect<int>(c.nextColor(Color::GREEN), Color::BLUE);
  expect<int>(c.nextColor(Color::BLUE), Color::RED);
}

void blob(LaterClient& c) {
  std::string all, got;
  for (int i = 0; i < 16; i++) all += everyByte();
  for (const auto& b : {std::string(), all}) {
    c.blob(got, b);
    if (got != b) throw Failure(std::to_string(got.size()) + " bytes came back of " + std::to_string(b.size()));
  }
}

void divideByZero(LaterClient& c) {
  try {
    c.divide(7, 0);
  } catch (const InvalidOperation& bad) {
    expect(bad.code, 22);
    expect<std::string>(bad.why, "divide 7 by zero");
    if (bad.details != std::map<std::string, std::string>{{"a", "7"}}) throw Failure("wrong details");
    return;
  }
  throw Failure("want InvalidOperation, got a reply");
}

void appException(const std::function<void()>& call, const std::set<int>& types) {
  try {
    call();
  } catch (const TApplicationException& e) {
    if (types.count(e.getType()) == 0) {
      throw Failure("TApplicationException type " + std::to_string(e.getType()) + " (" + e.what() + ")");
    }
    return;
  }
  throw Failure("want a TApplicationException, got a reply");
}

void notify(LaterClient& c, const std::string& id) {
  using std::chrono::steady_clock;
  auto begun = steady_clock::now();
  auto key = "cpp-" + id + "-" + std::to_string(std::chrono::system_clock::now().time_since_epoch().count());
  c.notify(key);
  for (;;) {
    auto n = c.notified(key);
    if (n == 1) return;
    if (n > 1 || steady_clock::now() - begun > std::chrono::milliseconds(kPatienceMs)) {
      throw Failure("the server counted " + std::to_string(n));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

struct Check {
  std::string name;
  std::function<void(LaterClient&)> attempt;
};

std::vector<Check> checks(const std::string& id) {
  std::string large;
  for (int i = 0; i < 10000; i++) large += "0123456789";
  return {
      {"ping", [](LaterClient& c) { c.ping(); }},
      {"echo-text", [](LaterClient& c) { echo(c, "hello"); }},
      {"echo-empty", [](LaterClient& c) { echo(c, ""); }},
      {"echo-unicode", [](LaterClient& c) { echo(c, "grüße, 世界 🌍"); }},
      {"echo-large", [large](LaterClient& c) { echo(c, large); }},
      {"echo-everything", echoEverything},
      {"verify", verify},
      {"sample", takeSample},
      {"add", add},
      {"negate", negate},
      {"half", [](LaterClient& c) { expect(c.half(-0.1), -0.05); }},
      {"next-color", nextColor},
      {"blob", blob},
      {"divide", [](LaterClient& c) { expect(c.divide(7, 2), 3); }},
      {"divide-by-zero", divideByZero},
      {"fail",
       [](LaterClient& c) {
         appException([&c] { c.fail(); }, {TApplicationException::UNKNOWN, TApplicationException::INTERNAL_ERROR});
       }},
      {"later",
       [](LaterClient& c) {
         appException([&c] { c.later(1); }, {TApplicationException::UNKNOWN_METHOD, TApplicationException::UNKNOWN});
       }},
      {"notify", [id](LaterClient& c) { notify(c, id); }},
      {"add-again", add},
  };
}

std::shared_ptr<transport::TSocket> dial(const std::string& addr) {
  auto a = Address::of(addr);
  auto socket = a.unix_socket ? std::make_shared<transport::TSocket>(a.host)
                              : std::make_shared<transport::TSocket>(a.host, a.port);
  socket->setConnTimeout(kPatienceMs);
  socket->setRecvTimeout(kPatienceMs);
  socket->setSendTimeout(kPatienceMs);
  socket->open();
  return socket;
}

std::string run(const std::string& id, const std::string& framing, const std::string& addr,
                const std::string& service) {
  std::string at = "connect";
  try {
    auto f = Framing::of(framing);
    LaterClient client(f.caller(dial(addr), service));
    auto all = checks(id);
    for (const auto& check : all) {
      at = check.name;
      check.attempt(client);
    }
    return id + " ok " + std::to_string(all.size());
  } catch (const std::exception& e) {
    std::string what = e.what();
    for (auto& ch : what) {
      if (ch == '\n') ch = ' ';
    }
    return id + " FAIL " + at + ": " + what;
  }
}

} // namespace

void call() {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string id, framing, addr, service;
    words >> id >> framing >> addr >> service;
    std::cout << run(id, framing, addr, service) << std::endl;
  }
}

} // namespace peer
