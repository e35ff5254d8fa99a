// The transport and protocol stacks of the C++ peer.
#pragma once

#include <memory>
#include <string>

#include <thrift/protocol/TProtocol.h>
#include <thrift/transport/TTransport.h>

namespace peer {

constexpr int kPatienceMs = 5000; // what a caller waits for anything

struct Framing {
  std::string name;
  bool compact = false, framed = false, lax = false, theader = false;

  // Throws std::invalid_argument for a framing that this peer has not. theader-zlib is one of them: the library (0.17)
  // inflates a frame into its own write buffer's size and copies the result over its smaller receive buffer.
  static Framing of(const std::string& name);

  std::shared_ptr<apache::thrift::transport::TTransportFactory> transports() const;
  std::shared_ptr<apache::thrift::protocol::TProtocolFactory> protocols() const;

  // A caller's protocol over socket; service goes in front of the method name, or into the THeader.
  std::shared_ptr<apache::thrift::protocol::TProtocol> caller(
      const std::shared_ptr<apache::thrift::transport::TTransport>& socket, const std::string& service) const;
};

// "unix:/path" or "host:port".
struct Address {
  bool unix_socket = false;
  std::string host; // or path
  int port = 0;

  static Address of(const std::string& addr);
};

} // namespace peer
