# want: 2:13: C has A twice
enum C { A, A }
