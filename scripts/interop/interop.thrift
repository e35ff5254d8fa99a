// The one IDL that every peer of `make prove-interop` speaks, in every language and over every framing.
//
// echoEverything alone would not notice a proxy that swaps a double's bytes on the way in and swaps them back on the way
// out. So both sides build the same value by hand: verify() lets the server compare what arrived, sample() lets the
// caller compare what came back.

namespace cpp interop
namespace go interop
namespace java interop
namespace py interopgen

enum Color {
  RED = 1,
  GREEN = 2,
  BLUE = 700,
}

struct Point {
  1: i32 x,
  2: i32 y,
  3: optional string label,
}

struct Shape {
  1: Point centre,
  2: list<Point> corners,
  3: map<string, Point> named,
  4: list<list<i32>> grid,
  5: map<string, list<i64>> series,
}

// Ids are neither dense nor in order: compact writes a delta, a long delta and an absolute id.
struct Everything {
  1: bool yes,
  2: bool no,
  3: i8 tiny,
  4: i16 small,
  5: i32 medium,
  6: i64 large,
  7: i64 least,
  8: double real,
  9: string text,
  10: binary raw,
  11: Color color,
  12: list<bool> bools,
  13: map<string, bool> flags,
  14: list<i64> longs,
  15: list<double> reals,
  16: set<i32> numbers,
  17: set<string> words,
  18: map<i32, string> names,
  19: map<string, i64> counts,
  20: list<string> lines, // more than 15 elements: compact's long list header
  21: list<Color> colors,
  22: list<binary> blobs,
  40: Shape shape,
  41: optional Shape absent,
  // one empty container of every kind
  50: list<i32> noList,
  51: set<string> noSet,
  52: map<string, i64> noMap,
  53: list<Point> noPoints,
  54: string noText,
  55: binary noRaw,
  300: bool farYes,
  301: bool farNo,
  1000: i32 far,
  60: i32 back,
}

exception InvalidOperation {
  1: i32 code,
  2: string why,
  3: map<string, string> details,
}

service Interop {
  void ping(),
  string echoString(1: string s),
  Everything echoEverything(1: Everything e),
  // verify returns "" when e is the sample as the server builds it, else what differs.
  string verify(1: Everything e),
  Everything sample(),
  i64 add(1: i64 a, 2: i64 b),
  bool negate(1: bool b),
  double half(1: double d),
  Color nextColor(1: Color c),
  binary blob(1: binary b),
  i32 divide(1: i32 a, 2: i32 b) throws (1: InvalidOperation bad),
  oneway void notify(1: string key),
  i64 notified(1: string key),
  // fail raises an error that is not declared.
  void fail(),
}

// Callers use Later, servers serve Interop: later() is a method that the server does not know.
service Later extends Interop {
  i32 later(1: i32 n),
}
