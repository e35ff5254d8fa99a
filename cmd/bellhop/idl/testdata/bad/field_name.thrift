# want: 2:22: S has the name a twice
struct S { 1: i32 a, 2: i32 a }
