# want: 2:15: there is no type Pt: define it, or include the file that does
struct S { 1: Pt p }
