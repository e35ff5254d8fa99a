# want: 3:15: A is not a type
service A {}
struct S { 1: A a }
