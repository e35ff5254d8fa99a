# want: 3:22: P has no field "z"
struct P { 1: i32 x }
struct S { 1: P p = {"z": 1} }
