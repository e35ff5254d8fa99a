# want: 2:13: f is oneway and returns something: return void
service A { oneway i32 f() }
