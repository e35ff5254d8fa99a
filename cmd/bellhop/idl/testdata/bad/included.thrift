# want: parts/broken.thrift:1:15: there is no type Nope
include "parts/broken.thrift"
