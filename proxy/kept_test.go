package proxy

import (
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/thrift"
	"github.com/bellhop-mesh/bellhop/remote"
)

// TestKeptMessageKeys: a call that had to wait loses the keys of hand-offs as one does that is sent at once: from a
// caller they mean nothing.
func TestKeptMessageKeys(t *testing.T) {
	var codec protocol.Codec
	for _, c := range thrift.Codecs() {
		if c.Framing() == protocol.THeader {
			codec = c
		}
	}
	scratch := &protocol.Scratch{Max: 1 << 20}
	said := protocol.Message{
		Wire: protocol.Wire{Framing: protocol.FramedBinary, Payload: protocol.Binary}, Type: protocol.MessageCall, Seq: 7, MsgSeq: 7, Method: []byte("say"), Body: []byte{0},
		Info: []protocol.KV{{Key: []byte(remote.KeyHop), Value: []byte("1")}, {Key: []byte("team"), Value: []byte("shop")}},
	}
	frame, err := codec.AppendCall(nil, &said, protocol.Wire{Framing: protocol.THeader, Payload: protocol.Binary}, 7, scratch)
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{resend: protocol.Scratch{Max: 1 << 20}, now: 1}
	c := &call{w: w, kept: frame, keptCodec: codec, deadline: int64(time.Second)}
	m, err := w.keptMessage(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Find(remote.KeyHop); ok || c.hops != 0 {
		t.Errorf("the caller's %s is kept; hops %d", remote.KeyHop, c.hops)
	}
	if v, _ := m.Find("team"); string(v) != "shop" {
		t.Errorf("the caller's own key is %q", v)
	}
}
