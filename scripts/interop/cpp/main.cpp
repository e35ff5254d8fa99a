#include "peer.h"

#include <csignal>
#include <iostream>

#include <thrift/TOutput.h>

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  apache::thrift::GlobalOutput.setOutputFunction([](const char*) {}); // it reports every caller that leaves
  std::string command = argc > 1 ? argv[1] : "";
  try {
    if (command == "server") {
      peer::serve(std::vector<std::string>(argv + 2, argv + argc));
    } else if (command == "client") {
      peer::call();
    } else {
      throw std::invalid_argument("usage: peer server|client …");
    }
  } catch (const std::exception& e) {
    std::cerr << "peer: " << e.what() << "\n";
    return 1;
  }
  return 0;
}
