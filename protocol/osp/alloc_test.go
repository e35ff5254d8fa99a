package osp

import (
	"testing"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/osp/osppeer"
)

// withEverything is a call whose header has all that Decode reads, in the codec's framing.
func withEverything(t testing.TB, c *codec, reply bool) []byte {
	h := osppeer.Header{
		Service: "com.vip.hello.HelloService", Method: "sayHello", Version: "1.0.0", Caller: "shop", Timeout: 500e6,
		Cookies: map[string]string{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "uid": "17"},
	}
	if reply {
		h.Reply, h.RetCode = true, c.ok
	}
	return peerFrame(t, c.framing, osppeer.Frame{Payload: protocol.Compact, Seq: 1, Header: h, Body: []byte(bodyIn(t, protocol.Compact))})
}

func TestNoAllocationOnTheSameFraming(t *testing.T) {
	for _, c := range []*codec{ospCodec, dapengCodec} {
		call, reply := withEverything(t, c, false), withEverything(t, c, true)
		var m protocol.Message
		var s protocol.Scratch
		var sc protocol.Scan
		to := protocol.ReplyTo{Wire: protocol.Wire{Framing: c.framing, Payload: protocol.Compact}, Seq: 8}
		out := make([]byte, 0, 1024)
		var err error
		pass := func() {
			if n, e := c.Split(&sc, call, protocol.DefaultMaxFrame); n != len(call) {
				err = e
			}
			if e := c.Decode(call, &m, &s); e != nil {
				err = e
			}
			if _, e := c.AppendCall(out[:0], &m, to.Wire, 7, &s); e != nil {
				err = e
			}
			if e := c.Decode(reply, &m, &s); e != nil {
				err = e
			}
			if _, e := c.AppendReply(out[:0], &m, &to, &s); e != nil {
				err = e
			}
		}
		if n := testing.AllocsPerRun(200, pass); n != 0 || err != nil {
			t.Errorf("%v: %v allocations a call and reply, error %v", c.framing, n, err)
		}
	}
}

func TestNoAllocationForHostileFrames(t *testing.T) {
	for c, frame := range goldens(t) {
		frame[len(frame)-2] = 0x7f // the body does not stop
		var m protocol.Message
		var s protocol.Scratch
		to := protocol.ReplyTo{Seq: 8}
		out := make([]byte, 0, 1024)
		failed := true
		n := testing.AllocsPerRun(200, func() {
			failed = failed && c.Decode(frame, &m, &s) != nil
			to.SetFrom(&m)
			out = c.AppendFault(out[:0], protocol.Fault{Code: protocol.CodeProtocolError, Message: "trailing_bytes"}, &to)
		})
		if n != 0 || !failed {
			t.Errorf("%v: %v allocations a refused call, refused: %v", c.framing, n, failed)
		}
	}
}

func BenchmarkSameFraming(b *testing.B) {
	for _, c := range []*codec{ospCodec, dapengCodec} {
		frame := withEverything(b, c, false)
		b.Run(c.framing.String(), func(b *testing.B) {
			var m protocol.Message
			var s protocol.Scratch
			out := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Decode(frame, &m, &s); err != nil {
					b.Fatal(err)
				}
				if _, err := c.AppendCall(out[:0], &m, protocol.Wire{Framing: c.framing}, 7, &s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
