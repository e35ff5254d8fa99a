# want: 2:1: include "nowhere.thrift" is neither in testdata/bad nor in a folder of -I
include "nowhere.thrift"
