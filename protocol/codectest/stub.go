package codectest

import (
	"bytes"
	"testing"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// head: a frame that is forwarded while it arrives, its body in one piece behind its rewritten beginning, is the frame
// that comes of rewriting the whole, for the codec's own layout and for every peer's that can be written so.
func (k *kit) head(t *testing.T, peers []Peer) {
	h, ok := k.c.(protocol.Header)
	if !ok || k.Unframed || k.Want.Type == protocol.MessageHeartbeat || k.Want.Type == protocol.MessageException {
		return // exceptions are read, not only passed on
	}
	var s, s2, s3 protocol.Scratch
	whole := must(t, k.c, k.Frame, &s)
	body := k.bodyAt(t, h, whole, &s2)
	if body < 0 {
		return
	}
	stub := protocol.AppendStub([]byte("x"), k.Frame[:body], k.c.Framing())[1:]
	m := must(t, k.c, stub, &s3)
	if len(m.Body) != 1 || string(m.Method) != string(whole.Method) || m.Wire != whole.Wire || m.Seq != whole.Seq {
		t.Fatalf("the stub %x says %+v", stub, m)
	}
	k.opened(t, k.c, m, whole, whole.Wire)
	for _, p := range peers {
		for _, w := range p.Wires {
			if w.Opens(m.Payload) {
				k.opened(t, p.Codec, m, whole, w)
			}
		}
	}
}

// bodyAt holds Head to its word for every beginning of the frame.
func (k *kit) bodyAt(t *testing.T, h protocol.Header, whole *protocol.Message, s *protocol.Scratch) int {
	t.Helper()
	want := len(k.Frame) - k.c.Framing().Tail() - len(whole.Body)
	if whole.Zlib || whole.Inner {
		want = -1
	}
	for n := range len(k.Frame) + 1 {
		got := h.Head(k.Frame[:n:n], len(k.Frame), s)
		if got != want && (got != 0 || n == len(k.Frame) || want > 0 && n > want+4) {
			t.Fatalf("of %d bytes Head says %d, want %d or more bytes", n, got, want)
		}
	}
	return want
}

// opened compares writing the stub m and then the body with writing the whole frame.
func (k *kit) opened(t *testing.T, c protocol.Codec, m, whole *protocol.Message, w protocol.Wire) {
	t.Helper()
	if !w.Opens(m.Payload) {
		t.Errorf("%s is had by Head and does not open", WireName(w))
		return
	}
	var s, s2 protocol.Scratch
	want := forward(t, c, whole, w, &s)
	out, err := protocol.Open(append([]byte("abc"), forward(t, c, m, w, &s2)...), 3, len(whole.Body), w.Framing)
	if err != nil {
		t.Fatalf("opening for %s: %v", WireName(w), err)
	}
	got := protocol.AppendTail(append(out[3:], whole.Body...), w.Framing)
	if !bytes.Equal(got, want) {
		t.Errorf("for %s in pieces:\n got %x\nwant %x", WireName(w), got, want)
	}
}
