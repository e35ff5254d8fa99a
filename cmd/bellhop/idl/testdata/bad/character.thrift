# want: 2:12: "$" has no meaning in Thrift IDL
struct S { $ }
