# want: 2:30: f throws a i32: only an exception can be thrown
service A { void f() throws (1: i32 e) }
