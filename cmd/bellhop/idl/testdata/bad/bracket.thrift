# want: 3:1: unexpected token "<EOF>"
struct S { 1: i32 a
