# want: 2:23: there is no constant nope
struct S { 1: i32 a = nope }
