# want: 3:15: a value nested deeper than 64 levels, or one that leads back to itself
const i32 A = B
const i32 B = A
