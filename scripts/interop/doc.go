// Package interop proves that calls pass from every framing to every other one between real Thrift peers: callers and
// servers in Go, C++, Python, Java and Node.js with Apache's own libraries (and OSP, dapeng and TTHeader peers in Go, for
// which there is no such library), all speaking interop.thrift through the real bellhop binary. It must never use this
// project's codecs, nor know anything of the proxy but its command line, its configuration and its address.
//
//	build.sh ─► .cache/interop/bin/{go,cpp,python,java,node}      peer, cpp, python, java, node: their sources
//
//	caller process ──lines──┐                                    ┌── server process, a port for each framing
//	  "ID FRAMING ADDR SVC" │   caller framing ─► bellhop ─► server framing
//	  "ID ok 19"  ◄─────────┘        Matrix: every caller framing × every server framing
//
// Without the proxy (Direct) each caller talks to the servers of its own framing: that shows that the peers are right.
package interop
