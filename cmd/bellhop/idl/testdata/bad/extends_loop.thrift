# want: 2:19: the service A extends itself
service A extends A {}
