# want: 3:9: the typedef A leads back to itself
typedef B A
typedef A B
