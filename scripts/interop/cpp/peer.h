// The C++ side of the interoperability matrix; scripts/interop/peer says what the command line and the lines mean.
#pragma once

#include <string>
#include <vector>

namespace peer {

// Serves until stdin ends; does not return.
void serve(const std::vector<std::string>& args);

// Answers every target line of stdin with one result line.
void call();

} // namespace peer
