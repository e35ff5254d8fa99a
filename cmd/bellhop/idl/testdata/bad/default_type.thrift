# want: 2:23: want a value of type i32
struct S { 1: i32 a = "x" }
