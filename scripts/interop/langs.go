package interop

import "slices"

// Lang is the peer of one language and what its library can do.
type Lang struct {
	Name   string
	Serves []string // framings, in protocol.ParseWire's words
	Calls  []string
}

var (
	plain   = []string{"binary", "compact", "framed-binary", "framed-compact"}
	theader = []string{"theader-binary", "theader-compact"}
	lax     = []string{"framed-lax", "binary-lax"}
	zlib    = []string{"theader-zlib"}
	// ours are spoken by Go code of this project's own: TTHeader by scripts/interop/peer, the rest by osppeer.
	ours = []string{
		"ttheader-binary", "ttheader-compact", "ttheader-framed", "osp", "osp-compact", "dapeng", "dapeng-binary",
	}
)

// Langs are the languages of the matrix.
func Langs() []Lang {
	full := slices.Concat(plain, lax, theader, zlib)
	return []Lang{
		{Name: "go", Serves: slices.Concat(full, ours), Calls: slices.Concat(full, ours)},
		{Name: "cpp", Serves: slices.Concat(plain, lax, theader), Calls: slices.Concat(plain, lax, theader)},
		{Name: "python", Serves: slices.Concat(plain, theader, zlib), Calls: full},
		{Name: "java", Serves: slices.Concat(plain, lax), Calls: slices.Concat(plain, lax)},
		{Name: "node", Serves: slices.Concat(plain, theader), Calls: plain},
	}
}

// Absent are the combinations that cannot exist, and why.
func Absent() []string {
	return []string{
		"cpp theader-zlib: libthrift 0.17 inflates a frame into a buffer of its write buffer's size and copies it over the smaller frame",
		"java theader-*: libthrift has no THeader class",
		"node theader-* as caller, theader-zlib: npm's thrift reads THeader in servers only, and without transforms",
		"python *-lax as server: Python's library reads a lax name as bytes and finds no method",
		"node *-lax: npm's thrift has no option for it in its connections and servers",
		"cpp, python, java, node ttheader-*, osp*, dapeng*: Apache Thrift does not speak them; Go peers of this project do",
	}
}
