package thrift

import (
	"strings"
	"testing"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// ospHeader is a header struct as protocol/osp leaves it in a Message: {1: "svc"}.
func ospHeader(t *testing.T, p protocol.Payload) []byte {
	if p == protocol.Compact {
		return unhex(t, "18 03 737663 00")
	}
	return unhex(t, "0b0001 00000003 737663 00")
}

func ospMessage(t *testing.T, p protocol.Payload) *protocol.Message {
	body := unhex(t, "0b0001 00000003 626f62 00")
	if p == protocol.Compact {
		body = unhex(t, "18 03 626f62 00")
	}
	return &protocol.Message{
		Wire: protocol.Wire{Framing: protocol.OSP, Payload: p}, Type: protocol.MessageCall, Seq: 5, MsgSeq: 5,
		Service: []byte("svc"), Method: []byte("echo"), Header: ospHeader(t, p), Body: body, Caller: []byte("app"),
		Info: []protocol.KV{
			{Key: []byte("service"), Value: []byte("forged")},
			{Key: []byte("bellhop-class"), Value: []byte("forged")},
			{Key: []byte("bellhop-osp-header"), Value: []byte("forged")},
			{Key: []byte("tint"), Value: []byte("blue")},
		},
	}
}

// A call without a TMessage gets one, in every framing.
func TestWrapCall(t *testing.T) {
	for _, p := range []protocol.Payload{protocol.Binary, protocol.Compact} {
		for _, peer := range allWires() {
			for _, w := range peer.Wires {
				m := ospMessage(t, p)
				got := decoded(t, w.Framing, call(t, m, w))
				if got.Type != protocol.MessageCall || got.MsgSeq != 0x0a0b0c0d || string(got.Method) != "echo" || got.Prefixed {
					t.Errorf("%+v: type %d, seq %x, method %q", w, got.Type, got.MsgSeq, got.Method)
				}
				want := ospMessage(t, got.Payload).Body
				if string(got.Body) != string(want) {
					t.Errorf("%+v: body %x", w, got.Body)
				}
				if len(got.OSPHeader) > 0 {
					t.Errorf("%+v: the OSP header or a forged one left with a call that is no hand-off: %x", w, got.OSPHeader)
				}
			}
		}
	}
}

// A hand-off (THeader with Extra) carries the OSP header in the payload's protocol, and none of the caller's own
// bellhop- keys.
func TestHandOff(t *testing.T) {
	for _, w := range []protocol.Wire{{Framing: protocol.THeader}, {Framing: protocol.THeader, Payload: protocol.Binary}, {Framing: protocol.THeader, Payload: protocol.Compact, Zlib: true}} {
		for _, p := range []protocol.Payload{protocol.Binary, protocol.Compact} {
			m := ospMessage(t, p)
			m.Extra = []protocol.KV{{Key: []byte("bellhop-hop"), Value: []byte("1")}}
			got := decoded(t, protocol.THeader, call(t, m, w))
			if string(got.OSPHeader) != string(ospHeader(t, got.Payload)) {
				t.Errorf("%+v: OSP header %x", w, got.OSPHeader)
			}
			if string(got.Service) != "svc" || string(got.Caller) != "app" {
				t.Errorf("%+v: service %q, caller %q", w, got.Service, got.Caller)
			}
			if len(got.Info) != 2 || string(got.Info[0].Key) != "tint" || string(got.Info[1].Key) != "bellhop-hop" {
				t.Errorf("%+v: entries %s", w, got.Info)
			}
			// The reply's header travels back the same way, to a hand-off connection only.
			r := ospMessage(t, p)
			r.Type, r.Info = protocol.MessageReply, nil
			to := &protocol.ReplyTo{Wire: got.Wire, Seq: 1, MsgSeq: 2, Method: []byte("echo"), Handoff: true}
			for range 2 {
				out, err := theader{}.AppendReply(nil, r, to, new(protocol.Scratch))
				if err != nil {
					t.Fatal(err)
				}
				rep := decoded(t, protocol.THeader, out)
				want := ""
				if to.Handoff {
					want = string(ospHeader(t, rep.Payload))
				}
				if string(rep.OSPHeader) != want || rep.Seq != 1 || rep.MsgSeq != 2 {
					t.Errorf("%+v: reply header %x", w, rep.OSPHeader)
				}
				to.Handoff = false
			}
		}
	}
}

// An error status becomes a TApplicationException with the type that speaks it.
func TestStatusException(t *testing.T) {
	for _, c := range []struct {
		ret, msg, mark string
		text           string
		typ            int32
	}{
		{"Err-Core-404", "no such service", "", "no such service", protocol.AppUnknownMethod},
		{"Err-Core-504", "", "", "Err-Core-504", protocol.AppTimeout},
		{"E1001", "account closed", "", "account closed", protocol.AppUnknown},
		{"Err-Core-527", "closing", "true", "not executed: closing", protocol.AppLoadshedding},
	} {
		for _, f := range []protocol.Framing{protocol.OSP, protocol.Dapeng} {
			for _, peer := range allWires() {
				for _, w := range peer.Wires {
					w.Payload = w.PayloadFor(protocol.Binary)
					m := &protocol.Message{
						Wire: protocol.Wire{Framing: f, Payload: protocol.Compact}, Type: protocol.MessageException,
						RetCode: []byte(c.ret), RetMessage: []byte(c.msg),
					}
					if c.mark != "" {
						m.Info = append(m.Info, protocol.KV{Key: []byte(keyNotExecuted), Value: []byte(c.mark)})
					}
					to := &protocol.ReplyTo{Wire: w, Seq: 1, MsgSeq: 1, Method: []byte("echo")}
					out, err := peer.Codec.AppendReply(nil, m, to, new(protocol.Scratch))
					if err != nil {
						t.Fatal(err)
					}
					got := decoded(t, w.Framing, out)
					text, typ, ok := protocol.AppException(got.Body, got.Payload)
					if got.Type != protocol.MessageException || string(got.Method) != "echo" || string(text) != c.text || typ != c.typ || !ok {
						t.Errorf("%v to %+v: %d %q %q %d %t", f, w, got.Type, got.Method, text, typ, ok)
					}
				}
			}
		}
	}
}

// What a fault says beside its text.
func TestFaultMarks(t *testing.T) {
	for _, c := range Codecs() {
		to := &protocol.ReplyTo{Wire: protocol.Wire{Framing: c.Framing()}, Method: []byte("echo")}
		shed := decoded(t, c.Framing(), c.AppendFault(nil, protocol.Fault{Code: protocol.CodeDraining, Message: "closing", GoingAway: true}, to))
		ran := decoded(t, c.Framing(), c.AppendFault(nil, protocol.Fault{Code: protocol.CodeDraining, Message: "closing", Executed: true}, to))
		_, marked := shed.Find(keyNotExecuted)
		_, wrong := ran.Find(keyNotExecuted)
		text, _, _ := protocol.AppException(shed.Body, shed.Payload)
		if header := c.Framing() == protocol.THeader || c.Framing() == protocol.TTHeader; marked != header || wrong {
			t.Errorf("%v: not-executed marks %t, %t", c.Framing(), marked, wrong)
		}
		if !strings.HasPrefix(string(text), "not executed:") {
			t.Errorf("%v: text %q", c.Framing(), text)
		}
		if shed.GoingAway != (c.Framing() == protocol.TTHeader) || ran.GoingAway {
			t.Errorf("%v: going away %t, %t", c.Framing(), shed.GoingAway, ran.GoingAway)
		}
	}
}
