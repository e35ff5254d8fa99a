# want: 2:22: 300 does not fit i8
struct S { 1: i8 a = 300 }
