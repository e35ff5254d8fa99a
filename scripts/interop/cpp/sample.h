// The one value that every peer builds by hand; see interop.thrift.
#pragma once

#include <string>

#include "interop_types.h"

namespace peer {

interop::Everything sample();
interop::Shape shape();
std::string everyByte();

// Returns "" when both are equal, else both of them.
std::string differs(const interop::Everything& got, const interop::Everything& want);

} // namespace peer
