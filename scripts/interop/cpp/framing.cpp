#include "framing.h"

#include <stdexcept>

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/protocol/THeaderProtocol.h>
#include <thrift/protocol/TMultiplexedProtocol.h>
#include <thrift/protocol/TProtocolDecorator.h>
#include <thrift/transport/TBufferTransports.h>

using namespace apache::thrift::protocol;
using namespace apache::thrift::transport;

namespace peer {

namespace {

bool has(const std::string& s, const std::string& part) { return s.find(part) != std::string::npos; }

// The library forgets a call's headers once it is sent: name the service before each.
class Naming : public TProtocolDecorator {
public:
  Naming(std::shared_ptr<THeaderProtocol> proto, std::string service)
    : TProtocolDecorator(proto), proto_(std::move(proto)), service_(std::move(service)) {}

  uint32_t writeMessageBegin_virt(const std::string& name, const TMessageType type, const int32_t seqid) override {
    proto_->setHeader("service", service_);
    return TProtocolDecorator::writeMessageBegin_virt(name, type, seqid);
  }

private:
  std::shared_ptr<THeaderProtocol> proto_;
  std::string service_;
};

} // namespace

Framing Framing::of(const std::string& name) {
  Framing f;
  f.name = name;
  f.compact = has(name, "compact");
  f.lax = has(name, "-lax");
  f.framed = name.rfind("framed-", 0) == 0;
  f.theader = name.rfind("theader-", 0) == 0;
  for (const char* known : {"binary", "compact", "framed-binary", "framed-compact", "framed-lax", "binary-lax",
                            "theader-binary", "theader-compact"}) {
    if (name == known) return f;
  }
  throw std::invalid_argument("this peer has no framing " + name);
}

std::shared_ptr<TTransportFactory> Framing::transports() const {
  if (framed) return std::make_shared<TFramedTransportFactory>();
  return std::make_shared<TBufferedTransportFactory>();
}

std::shared_ptr<TProtocolFactory> Framing::protocols() const {
  if (theader) return std::make_shared<THeaderProtocolFactory>();
  if (compact) return std::make_shared<TCompactProtocolFactory>();
  return std::make_shared<TBinaryProtocolFactory>(0, 0, !lax, !lax);
}

std::shared_ptr<TProtocol> Framing::caller(const std::shared_ptr<TTransport>& socket,
                                           const std::string& service) const {
  auto buffered = transports()->getTransport(socket);
  if (theader) {
    auto proto = std::make_shared<THeaderProtocol>(buffered, compact ? T_COMPACT_PROTOCOL : T_BINARY_PROTOCOL);
    if (service.empty()) return proto;
    return std::make_shared<Naming>(proto, service);
  }
  auto proto = protocols()->getProtocol(buffered);
  if (service.empty()) return proto;
  return std::make_shared<TMultiplexedProtocol>(proto, service);
}

Address Address::of(const std::string& addr) {
  Address a;
  if (addr.rfind("unix:", 0) == 0) {
    a.unix_socket = true;
    a.host = addr.substr(5);
    return a;
  }
  auto colon = addr.rfind(':');
  if (colon == std::string::npos) throw std::invalid_argument("want host:port or unix:/path, got " + addr);
  a.host = addr.substr(0, colon);
  a.port = std::stoi(addr.substr(colon + 1));
  return a;
}

} // namespace peer
