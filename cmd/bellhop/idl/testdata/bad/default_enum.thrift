# want: 3:21: the enum C has no BLUE; it has RED
enum C { RED }
struct S { 1: C c = C.BLUE }
