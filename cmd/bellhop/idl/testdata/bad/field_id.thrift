# want: 2:22: S has id 1 twice
struct S { 1: i32 a, 1: i32 b }
