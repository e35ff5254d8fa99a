struct S { 1: Nope n }
