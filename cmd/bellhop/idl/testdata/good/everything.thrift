/* Every construct of the language,
 * and every style of comment. **/
# a shell comment
// a line comment
/**/
namespace * everything
namespace py.twisted a.b (note = "x")
cpp_include "<vector>"
include "base.thrift"
include "dotted.name.thrift"

typedef i32 (cpp.type = "int") Age (sql.type = "int")
typedef map<string, list<base.Point>> Index
typedef Later Sooner

enum Color { RED = 1, GREEN; BLUE = 0x10 (deprecated = "1"), LIGHT_BLUE }
typedef string Old

const i32 TEN = 10
const list<i32> NUMBERS = [1, TEN; -3,]
const map<Color, string> NAMES = { Color.RED: "red", 2: 'gr"een' };
const double HALF = .5
const double E = 1e-3
const base.Point ORIGIN = {"x": 0, "y": 0}
const bool YES = 1
const i64 MASK = -0x7F

struct Later {
  1: required string name,
  2: optional i32 age = TEN;
  3: Color color = Color.GREEN
  4: list<Color> colors = [Color.RED, 16]
  5: Index index = {"a": [{"x": 1}]},
  6: set<binary> blobs = ["raw"],
  7: map cpp_type "hash" <i32, set<i64>> deep,
  8: Later & after,
  9: uuid id = "00112233-4455-6677-8899-aabbccddeeff",
  10: double real = 3
  11: string text = "line\n\"two\"\\" (a = "b", c)
  12: base.Level level = base.Level.HIGH,
  13: i8 level_number = base.Level.HIGH,
  14: map<i32, string> none = [],
  15: byte small, 16: i16 medium, 17: i64 large, 18: Old old,
  19: string borrowed = base.GREETING
  20: dotted.name.Thing thing
  21: bool on = YES
}
struct NoIds { string a, i32 b (x = "y"), 5: i32 c }
struct Empty {} (final)
union Either { 1: string text; 2: Later later }
exception Bad { 1: string why } (message = "why")

service Base { void ping() }
service Svc extends base.Root {
  oneway void forget(1: string key),
  Later get(1: string name, 2: i32 limit = TEN) throws (1: Bad bad, 2: base.Worse worse) (timeout = "3")
  list<map<string, i32>> nested();
  Index index(1: Index index)
} (since = "1")
service Own extends Base {}
