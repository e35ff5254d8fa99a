# want: 2:10: A is 4294967296: an enum's values are 32 bits
enum C { A = 4294967296 }
