# want: 2:15: map takes 2 types in angle brackets, not 1
struct S { 1: map<i32> m }
