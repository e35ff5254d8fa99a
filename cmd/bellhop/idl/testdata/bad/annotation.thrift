# want: 2:1: annotations of fbthrift are not read
@thrift.Fast struct S {}
