package codectest_test

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/codectest"
	"github.com/bellhop-mesh/bellhop/protocol/osp"
	"github.com/bellhop-mesh/bellhop/protocol/thrift"
)

// everything is every codec with every layout that a registry can declare.
func everything() []codectest.Peer {
	var peers []codectest.Peer
	for _, c := range append(thrift.Codecs(), osp.Codecs()...) {
		p := codectest.Peer{Codec: c}
		for _, name := range protocol.WireNames() {
			if w, _ := protocol.ParseWire(name); w.Framing == c.Framing() {
				p.Wires = append(p.Wires, w)
			}
		}
		peers = append(peers, p)
	}
	return peers
}

func codec(t *testing.T, f protocol.Framing) protocol.Codec {
	t.Helper()
	for _, p := range everything() {
		if p.Codec.Framing() == f {
			return p.Codec
		}
	}
	t.Fatalf("no codec for %v", f)
	return nil
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The golden frames of wire.md and a plain call, each rewritten for every layout there is and back.
func TestEveryFramingToEveryOther(t *testing.T) {
	bob := unhex(t, "0b000100000003626f6200")
	for f, s := range map[protocol.Framing]codectest.Sample{
		protocol.OSP: {
			Name: "osp", Rewritten: true,
			Frame: unhex(t, "00000083020000000001"+"0b00010000001a636f6d2e7669702e68656c6c6f2e48656c6c6f53657276696365"+"0b00020000000873617948656c6c6f"+
				"0b000300000005312e302e30"+"08000400000000"+"0b00060000001064656d6f2e7669702e7669702e636f6d"+"0a000b0000000000000002"+"0a000a0000000000000001"+"00"+
				"0b000100000003626f62"+"00"+"03"),
			Want: codectest.Want{
				Type: 1, Payload: protocol.Binary, Seq: 1, MsgSeq: 1, Service: "com.vip.hello.HelloService", Method: "sayHello",
				Version: "1.0.0", Caller: "demo.vip.vip.com", Body: bob, OutOfOrder: true,
			},
		},
		protocol.Dapeng: {
			Name: "dapeng",
			Frame: unhex(t, "0000004f02010100000001"+"0b00010000000e636f6d2e64656d6f2e48656c6c6f"+"0b00020000000873617948656c6c6f"+
				"0b000300000005312e302e30"+"08000a000001f4"+"0d00170b0b00000000"+"00"+"1803626f6200"+"03"),
			Want: codectest.Want{
				Type: 1, Payload: protocol.Compact, Seq: 1, MsgSeq: 1, Service: "com.demo.Hello", Method: "sayHello",
				Version: "1.0.0", Timeout: 500 * time.Millisecond, Body: unhex(t, "1803626f6200"), OutOfOrder: true,
			},
		},
		protocol.FramedBinary: {
			Name: "framed", Rewritten: true,
			Frame: unhex(t, "00000020"+"80010001"+"00000009"+"737663"+"3a"+"6563686f31"+"00000003"+"0b000100000003626f6200"),
			Want:  codectest.Want{Type: 1, Payload: protocol.Binary, Seq: 3, MsgSeq: 3, Service: "svc", Method: "echo1", Prefixed: true, Body: bob},
		},
	} {
		t.Run(s.Name, func(t *testing.T) { codectest.Run(t, codec(t, f), []codectest.Sample{s}, everything()...) })
	}
}

// Every framing of the type has a codec, and every codec a word to declare it by.
func TestNoFramingForgotten(t *testing.T) {
	have := make(map[protocol.Framing]bool)
	for _, p := range everything() {
		if have[p.Codec.Framing()] {
			t.Errorf("two codecs for %v", p.Codec.Framing())
		}
		have[p.Codec.Framing()] = len(p.Wires) > 0
	}
	for f := protocol.UnframedBinary; f < protocol.HTTP; f++ {
		if !have[f] {
			t.Errorf("%v has no codec or no word", f)
		}
	}
}
