package thrift

import (
	"testing"

	apache "github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol"
)

func oneString(n int) *node {
	return &node{t: apache.STRUCT, ids: []int16{1}, kids: []node{{t: apache.STRING, str: string(make([]byte, n))}}}
}

// BenchmarkForward is one framed-binary call in and out: split, decode with the walk, copy and patch.
func BenchmarkForward(b *testing.B) {
	for _, w := range []protocol.Wire{
		{Framing: protocol.FramedBinary, Payload: protocol.Binary},
		{Framing: protocol.UnframedBinary, Payload: protocol.Binary},
		{Framing: protocol.FramedCompact, Payload: protocol.Compact},
		{Framing: protocol.THeader, Payload: protocol.Binary},
		{Framing: protocol.THeader, Payload: protocol.Binary, Zlib: true},
	} {
		b.Run(w.Framing.String()+zlibWord(w), func(b *testing.B) {
			frame := apacheFrame(b, w, "echo", apache.CALL, 1, oneString(100), nil)
			c := codec(b, w.Framing)
			var m protocol.Message
			var s protocol.Scratch
			var sc protocol.Scan
			buf := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				n, err := c.Split(&sc, frame, 0)
				if err != nil {
					b.Fatal(err)
				}
				if err := c.Decode(frame[:n], &m, &s); err != nil {
					b.Fatal(err)
				}
				if _, err = c.AppendCall(buf, &m, w, 7, &s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func zlibWord(w protocol.Wire) string {
	if w.Zlib {
		return "-zlib"
	}
	return ""
}
