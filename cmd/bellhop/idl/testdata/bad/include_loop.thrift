# want: 2:1: files include each other: testdata/bad/include_loop.thrift
include "include_loop.thrift"
