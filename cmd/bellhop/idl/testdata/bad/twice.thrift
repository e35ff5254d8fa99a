# want: 3:1: S is defined already, in line 2
struct S {}
struct S {}
