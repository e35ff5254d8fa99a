# want: 2:24: "1234" is no UUID
struct S { 1: uuid a = "1234" }
