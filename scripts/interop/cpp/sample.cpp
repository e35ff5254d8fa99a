#include "sample.h"

#include <limits>
#include <sstream>

using namespace interop;

namespace peer {

namespace {

Point point(int32_t x, int32_t y, const char* label = nullptr) {
  Point p;
  p.x = x;
  p.y = y;
  if (label != nullptr) p.__set_label(label);
  return p;
}

} // namespace

std::string everyByte() {
  std::string b;
  for (int i = 0; i < 256; i++) b.push_back(static_cast<char>(i));
  return b;
}

Shape shape() {
  Shape s;
  s.centre = point(1, -2, "c");
  s.corners = {point(0, 0), point(3, 4, "far")};
  s.named = {{"a", point(5, 6)}};
  s.grid = {{1, 2}, {}, {3}};
  s.series = {{"s", {1, -1}}};
  return s;
}

Everything sample() {
  constexpr int64_t most = std::numeric_limits<int64_t>::max(), least = std::numeric_limits<int64_t>::min();
  Everything e;
  e.yes = true, e.no = false, e.farYes = true, e.farNo = false;
  e.tiny = -7, e.small = -12345, e.medium = 123456789, e.far = -5, e.back = 60;
  e.large = (int64_t{1} << 53) + 1, e.least = least;
  e.real = -0.1;
  e.text = "grüße, 世界 🌍";
  e.raw = everyByte();
  e.color = Color::BLUE;
  e.bools = {true, false, false, true};
  e.flags = {{"on", true}, {"off", false}};
  e.longs = {0, -1, 1, most, least};
  e.reals = {0.5, -1.5, 3.141592653589793, 1e300};
  e.numbers = {-3, 0, 2000000000};
  e.words = {"", "alpha", "beta"};
  e.names = {{-1, "minus"}, {0, ""}, {7, "seven"}};
  e.counts = {{"big", int64_t{1} << 40}, {"small", -2}};
  for (int i = 0; i < 20; i++) e.lines.push_back("line " + std::to_string(i));
  e.colors = {Color::RED, Color::BLUE, Color::GREEN};
  e.blobs = {"", std::string("\x00\xff", 2), "abc"};
  e.shape = shape();
  return e;
}

std::string differs(const Everything& got, const Everything& want) {
  if (got == want) return "";
  std::ostringstream s;
  s << "got " << got << ", want " << want;
  return s.str();
}

} // namespace peer
