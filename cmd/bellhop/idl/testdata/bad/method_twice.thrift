# want: 2:23: A has the method f twice
service A { void f(), void f() }
