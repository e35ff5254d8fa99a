package codectest

import (
	"bytes"
	"testing"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// ourSeq is the sequence that samples are forwarded with.
const ourSeq = 0x01020304

// forward writes m with codec c for a peer with this layout, as a proxy would: a call with our own sequence, a reply
// for a caller that used 77 in the frame and 78 in the message.
func forward(t *testing.T, c protocol.Codec, m *protocol.Message, w protocol.Wire, s *protocol.Scratch) []byte {
	t.Helper()
	prefix := []byte("before")
	var out []byte
	var err error
	if m.IsCall() {
		out, err = c.AppendCall(bytes.Clone(prefix), m, w, ourSeq, s)
	} else {
		out, err = c.AppendReply(bytes.Clone(prefix), m, replyTo(m, w), s)
	}
	if err != nil {
		t.Fatalf("writing for %s: %v", WireName(w), err)
	}
	if !bytes.HasPrefix(out, prefix) {
		t.Fatalf("writing for %s spoiled what was in the buffer", WireName(w))
	}
	return out[len(prefix):]
}

func replyTo(m *protocol.Message, w protocol.Wire) *protocol.ReplyTo {
	w.Payload = w.PayloadFor(m.Payload)
	return &protocol.ReplyTo{Wire: w, Seq: 77, MsgSeq: 78, Service: []byte("svc"), Method: []byte("method")}
}

// Canonical brings a body to one form: values that are equal but were written differently (long compact ids, the types
// of empty maps, which compact loses) become the same bytes.
func Canonical(t testing.TB, p protocol.Payload, body []byte) []byte {
	t.Helper()
	if p == protocol.Compact {
		b, err := protocol.Transcode(nil, protocol.Compact, protocol.Binary, body, 0)
		if err != nil {
			t.Fatalf("canonical: %v", err)
		}
		body = b
	}
	b, err := protocol.Transcode(nil, protocol.Binary, protocol.Compact, body, 0)
	if err != nil {
		t.Fatalf("canonical: %v", err)
	}
	return b
}

// same: rewritten for its own layout and back.
func (k *kit) same(t *testing.T) {
	var s, s2, s3 protocol.Scratch
	m := must(t, k.c, k.Frame, &s)
	out := forward(t, k.c, m, m.Wire, &s2)
	got := must(t, k.c, out, &s3)
	if m.IsCall() && got.Seq != ourSeq {
		t.Errorf("the call left with sequence %d", got.Seq)
	}
	if k.Rewritten {
		k.sameValues(t, m, got)
		return
	}
	var back []byte
	var err error
	if m.IsCall() {
		back, err = k.c.AppendCall(nil, got, got.Wire, m.Seq, &s2)
	} else {
		to := replyTo(got, got.Wire)
		to.Seq, to.MsgSeq, to.Method = m.Seq, m.MsgSeq, m.Method
		back, err = k.c.AppendReply(nil, got, to, &s2)
	}
	if err != nil {
		t.Fatal(err)
	}
	if m.IsCall() && m.Seq != m.MsgSeq {
		got = must(t, k.c, back, &s3) // both sequences of a call become the proxy's: only the model can be compared
		k.sameValues(t, m, got)
		return
	}
	if !bytes.Equal(back, k.Frame) {
		t.Errorf("there and back:\n got %x\nwant %x", back, k.Frame)
	}
}

// sameValues compares what every framing carries.
func (k *kit) sameValues(t *testing.T, want, got *protocol.Message) {
	t.Helper()
	if string(got.Method) != string(want.Method) {
		t.Errorf("method %q became %q", want.Method, got.Method)
	}
	if !bytes.Equal(Canonical(t, got.Payload, got.Body), Canonical(t, want.Payload, want.Body)) {
		t.Errorf("the body's values changed: %x became %x", want.Body, got.Body)
	}
}

// cross: through a peer's framing and back into the codec's own.
func (k *kit) cross(t *testing.T, peer protocol.Codec, w protocol.Wire) {
	var s, s2, s3, s4 protocol.Scratch
	m := must(t, k.c, k.Frame, &s)
	out := forward(t, peer, m, w, &s2)
	got := must(t, peer, out, &s3)
	wantType := m.Type
	if statusInHeader(w.Framing) && wantType == protocol.MessageOneway {
		wantType = protocol.MessageCall // these have no oneway
	}
	if got.Type != wantType {
		t.Errorf("type %d became %d", m.Type, got.Type)
	}
	if m.IsCall() && got.Seq != ourSeq || !m.IsCall() && (got.Seq != 77 && got.Seq != 78 || got.MsgSeq != 77 && got.MsgSeq != 78) {
		t.Errorf("sequences %d, %d", got.Seq, got.MsgSeq)
	}
	if p := w.PayloadFor(m.Payload); got.Payload != p {
		t.Errorf("payload %v, want %v", got.Payload, p)
	}
	if statusInHeader(w.Framing) && m.Type == protocol.MessageException {
		return // the exception became a status; its own tests look at that
	}
	if statusInHeader(m.Framing) && m.Type == protocol.MessageException {
		if _, _, ok := protocol.AppException(got.Body, got.Payload); !ok {
			t.Errorf("the error reply became %x, which is no TApplicationException", got.Body)
		}
		return
	}
	if !m.IsCall() && statusInHeader(m.Framing) {
		m.Method = []byte("method") // their replies need not name one: the call's is written
	}
	k.sameValues(t, m, got)
	back := must(t, k.c, forward(t, k.c, got, m.Wire, &s2), &s4)
	k.sameValues(t, m, back)
}

func statusInHeader(f protocol.Framing) bool { return f == protocol.OSP || f == protocol.Dapeng }

// fault: every code is readable, in the sample's own layout, and answers its sequences.
func (k *kit) fault(t *testing.T) {
	var s, s2 protocol.Scratch
	m := must(t, k.c, k.Frame, &s)
	var to protocol.ReplyTo
	to.SetFrom(m)
	for code := protocol.CodeNoService; int(code) < protocol.NumCodes; code++ {
		f := protocol.Fault{Code: code, Message: "what was wrong", GoingAway: true}
		got := must(t, k.c, k.c.AppendFault(nil, f, &to), &s2)
		if got.Type != protocol.MessageException || got.Seq != m.Seq || got.MsgSeq != m.MsgSeq {
			t.Errorf("%v: type %d, sequences %d, %d", code, got.Type, got.Seq, got.MsgSeq)
		}
		if statusInHeader(k.c.Framing()) {
			if string(got.RetCode) != code.RetCode() || string(got.RetMessage) != f.Message {
				t.Errorf("%v: status %q %q", code, got.RetCode, got.RetMessage)
			}
			continue
		}
		text, typ, ok := protocol.AppException(got.Body, got.Payload)
		if !ok || string(text) != f.Text() || typ != code.AppType() {
			t.Errorf("%v: exception %q, %d, %t", code, text, typ, ok)
		}
		if string(got.Method) != string(m.Method) || got.Prefixed {
			t.Errorf("%v: the fault is for %q", code, got.Method)
		}
	}
}

// allocs: nothing is allocated once the buffers have grown.
func (k *kit) allocs(t *testing.T) {
	var s protocol.Scratch
	var m protocol.Message
	var sc protocol.Scan
	var to protocol.ReplyTo
	buf := make([]byte, 0, 2*len(k.Frame)+1024)
	round := func() {
		if _, err := k.c.Split(&sc, k.Frame, 0); err != nil {
			t.Fatal(err)
		}
		if err := k.c.Decode(k.Frame, &m, &s); err != nil {
			t.Fatal(err)
		}
		to.SetFrom(&m)
		var err error
		if m.IsCall() {
			_, err = k.c.AppendCall(buf, &m, m.Wire, ourSeq, &s)
		} else {
			_, err = k.c.AppendReply(buf, &m, &to, &s)
		}
		if err != nil {
			t.Fatal(err)
		}
		k.c.AppendFault(buf, protocol.Fault{Code: protocol.CodeDeadline, Message: "too late"}, &to)
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}
