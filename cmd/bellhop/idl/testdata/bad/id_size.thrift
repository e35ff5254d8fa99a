# want: 2:12: the id of field a does not fit 16 bits
struct S { 99999: i32 a }
