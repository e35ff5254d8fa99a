# want: 2:15: void is what a method may return, and nothing else
struct S { 1: void v }
