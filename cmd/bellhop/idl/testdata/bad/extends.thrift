# want: 2:19: there is no service B to extend
service A extends B {}
