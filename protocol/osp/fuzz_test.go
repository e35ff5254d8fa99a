package osp

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/osp/osppeer"
)

func FuzzOSP(f *testing.F) { fuzz(f, ospCodec) }

func FuzzDapeng(f *testing.F) { fuzz(f, dapengCodec) }

// fuzz checks that whatever Decode accepts as a call is what the peers, written over Apache's libraries, read from it,
// and that it is a well-formed call of the same kind in every form it can leave in.
func fuzz(f *testing.F, c *codec) {
	for _, name := range []string{"osp_request", "dapeng_request"} {
		f.Add(golden(f, name))
	}
	f.Add(heartbeat)
	for _, p := range payloads {
		f.Add(rawFrame(c, p, "\x00", "\x00"))
		ext := map[string]string{"bellhop-state": "closing"}
		f.Add(peerFrame(f, c.framing, osppeer.Frame{Payload: p, Body: []byte{0}, Header: osppeer.Header{Reply: true, RetCode: "X", Ext: ext}}))
	}
	f.Add(withEverything(f, c, false))
	f.Add(withEverything(f, c, true))
	f.Fuzz(func(t *testing.T, b []byte) {
		var sc protocol.Scan
		n, err := c.Split(&sc, b, 1<<16)
		if n == 0 {
			if err == nil && sc.Need <= len(b) {
				t.Fatalf("Split asks for %d bytes and has %d", sc.Need, len(b))
			}
			return
		}
		var m protocol.Message
		s := protocol.Scratch{Max: 1 << 18}
		if err := c.Decode(b[:n], &m, &s); err != nil || m.Type == protocol.MessageHeartbeat {
			if _, ok := err.(*protocol.Error); err != nil && !ok {
				t.Fatalf("Decode: %T %v", err, err)
			}
			return
		}
		checkFields(t, c, &m)
		checkPeer(t, c, &m)
		if m.IsCall() {
			checkForms(t, c, &m)
		} else {
			checkReplies(c, &m)
		}
	})
}

// checkFields: the reader of fields finds the same end as the walk.
func checkFields(t *testing.T, c *codec, m *protocol.Message) {
	it := fields{p: c.headerPayload(m.Payload), b: m.Header}
	for it.next() {
	}
	if !it.stopped || it.pos != len(m.Header) {
		t.Fatalf("the header %x ends at %d, fields stop at %d (%v)", m.Header, len(m.Header), it.pos, it.stopped)
	}
	if len(m.Frame) != c.head+len(m.Header)+len(m.Body)+1 {
		t.Fatalf("header %d and body %d do not fill the frame of %d", len(m.Header), len(m.Body), len(m.Frame))
	}
}

// checkPeer: Apache's reader sees the same names.
func checkPeer(t *testing.T, c *codec, m *protocol.Message) {
	f, err := osppeer.ReadFrame(bufio.NewReader(bytes.NewReader(m.Frame)), c.framing)
	if err != nil {
		t.Fatalf("the peer refuses %x: %v", m.Frame, err)
	}
	if f.Service != string(m.Service) || f.Method != string(m.Method) || f.Version != string(m.Version) || f.Caller != string(m.Caller) ||
		f.RetCode != string(m.RetCode) || f.RetMessage != string(m.RetMessage) || f.Reply == m.IsCall() ||
		f.Seq != m.Seq || f.Payload != m.Payload || !bytes.Equal(f.Body, m.Body) {
		t.Fatalf("the peer reads %+v, Decode %+v", f, m)
	}
}

// checkForms: the call leaves in both framings, both payloads, with and without Extra, and is understood again.
func checkForms(t *testing.T, c *codec, m *protocol.Message) {
	var s protocol.Scratch
	for _, to := range []*codec{ospCodec, dapengCodec} {
		for _, p := range payloads {
			for _, extra := range [][]protocol.KV{nil, kv("bellhop-source", "pod-1")} {
				m.Extra = extra
				out, err := to.AppendCall(nil, m, protocol.Wire{Framing: to.framing, Payload: p}, 42, &s)
				if err != nil {
					t.Fatalf("AppendCall to %v %v: %v", to.framing, p, err)
				}
				if to == c && p == m.Payload && extra == nil && (!bytes.Equal(out[:c.seqAt], m.Frame[:c.seqAt]) || !bytes.Equal(out[c.head:], m.Frame[c.head:])) {
					t.Fatalf("%x left as %x", m.Frame, out)
				}
				var o protocol.Message
				if err := to.Decode(out, &o, &s); err != nil {
					if e := err.(*protocol.Error); e.Code == protocol.CodeTooLarge { // headers near the cap grow
						continue
					}
					t.Fatalf("%x left as %x for %v %v: %v", m.Frame, out, to.framing, p, err)
				}
				if !bytes.Equal(o.Service, m.Service) || !bytes.Equal(o.Method, m.Method) || !bytes.Equal(o.Caller, m.Caller) ||
					!bytes.Equal(o.Trace, m.Trace) || o.Seq != 42 || o.Timeout != m.Timeout || len(o.Info) != len(m.Info) {
					t.Fatalf("%+v left as %+v", m, o)
				}
			}
		}
	}
}

// checkReplies: replies are not walked, so they may fail to be rewritten; they must not panic.
func checkReplies(c *codec, m *protocol.Message) {
	s := protocol.Scratch{Max: 1 << 18}
	for _, to := range []*codec{ospCodec, dapengCodec} {
		for _, p := range payloads {
			_, _ = to.AppendReply(nil, m, &protocol.ReplyTo{Wire: protocol.Wire{Framing: to.framing, Payload: p}, Seq: 1}, &s)
		}
	}
}
