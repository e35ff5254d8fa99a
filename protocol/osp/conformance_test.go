package osp

import (
	"reflect"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/codectest"
	"github.com/bellhop-mesh/bellhop/protocol/osp/osppeer"
	"github.com/bellhop-mesh/bellhop/protocol/thrift"
)

func TestConformance(t *testing.T) {
	for _, c := range []*codec{ospCodec, dapengCodec} {
		t.Run(c.framing.String(), func(t *testing.T) { codectest.Run(t, c, samples(t, c), peers()...) })
	}
}

// peers are all codecs there are, each in both payloads where it has both.
func peers() (ps []codectest.Peer) {
	for _, c := range append(thrift.Codecs(), Codecs()...) {
		var wires []protocol.Wire
		switch f := c.Framing(); f {
		case protocol.UnframedBinary, protocol.FramedBinary:
			wires = append(wires, protocol.Wire{Framing: f, Payload: protocol.Binary})
		case protocol.UnframedCompact, protocol.FramedCompact:
			wires = append(wires, protocol.Wire{Framing: f, Payload: protocol.Compact})
		case protocol.UnframedLax, protocol.FramedLax: // can only be pinned: one direction is theirs to test
		default:
			wires = append(wires, protocol.Wire{Framing: f}, protocol.Wire{Framing: f, Payload: protocol.Binary}, protocol.Wire{Framing: f, Payload: protocol.Compact})
		}
		ps = append(ps, codectest.Peer{Codec: c, Wires: wires})
	}
	return ps
}

func samples(t *testing.T, c *codec) (list []codectest.Sample) {
	frame := golden(t, map[protocol.Framing]string{protocol.OSP: "osp_request", protocol.Dapeng: "dapeng_request"}[c.framing])
	want := codectest.Want{
		Type: protocol.MessageCall, Payload: protocol.Binary, Seq: 1, MsgSeq: 1, Service: "com.vip.hello.HelloService",
		Method: "sayHello", Version: "1.0.0", Caller: "demo.vip.vip.com", Body: []byte(bob), OutOfOrder: true,
	}
	if c.framing == protocol.Dapeng {
		want.Payload, want.Service, want.Caller, want.Timeout = protocol.Compact, "com.demo.Hello", "", 500*time.Millisecond
		want.Body = []byte(bodyIn(t, protocol.Compact))
	}
	list = append(list, codectest.Sample{Name: "golden", Frame: frame, Want: want})
	for _, p := range payloads {
		body := []byte(bodyIn(t, p))
		want := codectest.Want{
			Type: protocol.MessageCall, Payload: p, Seq: -3, MsgSeq: -3, Service: "S", Method: "method", Version: "2.1", Caller: "shop",
			Trace: "00-4bf9-01", Timeout: 20 * time.Millisecond, Info: map[string]string{"uid": "17"}, Body: body, OutOfOrder: true,
		}
		h := osppeer.Header{
			Service: "S", Method: "method", Version: "2.1", Caller: "shop", Timeout: 20 * time.Millisecond,
			Cookies: map[string]string{"uid": "17", "traceparent": "00-4bf9-01"},
		}
		f := osppeer.Frame{Payload: p, Seq: -3, Body: body, Header: h}
		list = append(list, codectest.Sample{Name: "call-" + p.String(), Frame: peerFrame(t, c.framing, f), Want: want})

		f.Header = osppeer.Header{Service: "S", Method: "method", Version: "2.1", Reply: true, RetCode: c.ok}
		want.Type, want.Caller, want.Trace, want.Timeout, want.Info = protocol.MessageReply, "", "", 0, nil
		list = append(list, codectest.Sample{Name: "reply-" + p.String(), Frame: peerFrame(t, c.framing, f), Want: want})

		f.RetCode, f.RetMessage, f.Body = "Err-Core-500", "it broke", nil
		want.Type, want.Body, want.Info = protocol.MessageException, nil, map[string]string{"bellhop-ret-code": "Err-Core-500"}
		if c.framing == protocol.OSP {
			f.Body, want.Body = []byte{0}, []byte{0}
		}
		list = append(list, codectest.Sample{Name: "error-" + p.String(), Frame: peerFrame(t, c.framing, f), Want: want})
	}
	return list
}

// TestHandOff: a call of a local proxy goes through a hand-off connection (THeader) and back without losing anything.
func TestHandOff(t *testing.T) {
	var theader protocol.Codec
	for _, c := range thrift.Codecs() {
		if c.Framing() == protocol.THeader {
			theader = c
		}
	}
	through := func(frame []byte) *protocol.Message {
		t.Helper()
		m := new(protocol.Message)
		if err := theader.Decode(frame, m, &protocol.Scratch{}); err != nil {
			t.Fatal(err)
		}
		return m
	}
	var s protocol.Scratch
	for _, c := range []*codec{ospCodec, dapengCodec} {
		for _, sample := range samples(t, c) {
			m := decoded(t, c, sample.Frame)
			to := &protocol.ReplyTo{Wire: protocol.Wire{Framing: protocol.THeader, Payload: m.Payload}, Seq: 9, MsgSeq: 9, Method: []byte("method"), Handoff: true}
			var there, back []byte
			var err error
			if m.IsCall() {
				m.Extra = kv("bellhop-hop", "1")
				if there, err = theader.AppendCall(nil, m, to.Wire, 9, &s); err == nil {
					back, err = c.AppendCall(nil, through(there), protocol.Wire{Framing: c.framing}, m.Seq, &s)
				}
			} else if there, err = theader.AppendReply(nil, m, to, &s); err == nil {
				caller := &protocol.ReplyTo{Wire: m.Wire, Seq: m.Seq, Service: []byte("S"), Method: []byte("method"), Version: []byte("2.1")}
				back, err = c.AppendReply(nil, through(there), caller, &s)
			}
			if err != nil {
				t.Fatalf("%v %s: %v", c.framing, sample.Name, err)
			}
			got, want := read(t, c.framing, back), read(t, c.framing, sample.Frame)
			if c == ospCodec && string(back) != string(sample.Frame) || !reflect.DeepEqual(got, want) {
				t.Errorf("%v %s came back as\n%+v, it was\n%+v", c.framing, sample.Name, got, want)
			}
		}
	}
}
