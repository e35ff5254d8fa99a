include "sub/leaf.thrift"
struct Point { 1: i32 x, 2: i32 y, 3: leaf.Leaf leaf }
enum Level { LOW, HIGH = 7 }
const string HELLO = "hello"
const string GREETING = HELLO
exception Worse { 1: leaf.Leaf what }
service Root extends leaf.Top { i32 root(1: i32 n) }
