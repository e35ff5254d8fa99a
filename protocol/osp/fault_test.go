package osp

import (
	"maps"
	"testing"

	"github.com/bellhop-mesh/bellhop/protocol"
)

func TestFaultsAreReadableByPeers(t *testing.T) {
	for _, c := range []struct {
		f                           protocol.Fault
		code, retry, executed, away string
	}{
		{protocol.Fault{Code: protocol.CodeNoEndpoint, Message: "S has no endpoint"}, "Err-Core-503", "true", "no", ""},
		{protocol.Fault{Code: protocol.CodeProtocolError, Message: "string_past_frame"}, "Err-Core-400", "false", "no", ""},
		{protocol.Fault{Code: protocol.CodeDeadline, Message: "after 1 s"}, "Err-Core-504", "false", "maybe", ""},
		{protocol.Fault{Code: protocol.CodeConnect, Message: "refused", Executed: true}, "Err-Core-502", "false", "maybe", ""},
		{protocol.Fault{Code: protocol.CodeDraining, GoingAway: true}, "Err-Core-527", "true", "no", "closing"},
	} {
		ext := map[string]string{"errorGroup": "500", "errorLevel": "ERROR", "errorLocation": "proxy", "retry": c.retry, "circuitBroken": "false"}
		cookies := map[string]string{}
		if c.executed == "no" {
			ext["bellhop-not-executed"], cookies["bellhop-not-executed"] = "true", "true"
		}
		if c.away != "" {
			ext["bellhop-state"], cookies["bellhop-state"] = c.away, c.away
		}
		for _, framing := range []protocol.Framing{protocol.OSP, protocol.Dapeng} {
			for _, p := range payloads {
				to := &protocol.ReplyTo{Wire: protocol.Wire{Framing: framing, Payload: p}, Seq: 31, Service: []byte("S"), Method: []byte("m"), Version: []byte("2.1")}
				frame := sibCodec(framing).AppendFault([]byte("before"), c.f, to)[len("before"):]
				f := read(t, framing, frame)
				wantExt, wantCookies, body := ext, map[string]string(nil), "\x00"
				if framing == protocol.Dapeng {
					wantExt, wantCookies, body = nil, cookies, ""
				}
				if !f.Reply || f.Seq != 31 || f.Payload != p || f.Service != "S" || f.Method != "m" || f.Version != "2.1" || f.RetCode != c.code ||
					f.RetMessage != c.f.Message || !maps.Equal(f.Ext, wantExt) || !maps.Equal(f.Cookies, wantCookies) || string(f.Body) != body {
					t.Errorf("%v %v: %v: the peer reads %+v", framing, p, c.f.Code, f)
				}
				m := decoded(t, sibCodec(framing), frame)
				if _, said := m.Find("bellhop-not-executed"); m.Type != protocol.MessageException || m.GoingAway != (c.away != "") || said != (c.executed == "no") {
					t.Errorf("%v %v: %v: decoded as %+v", framing, p, c.f.Code, m)
				}
			}
		}
	}
}

func TestFaultOfAFrameThatWasNotUnderstood(t *testing.T) {
	for _, c := range []*codec{ospCodec, dapengCodec} {
		frame := c.AppendFault(nil, protocol.Fault{Code: protocol.CodeUnsupported, Message: "codec 2"}, &protocol.ReplyTo{})
		if f := read(t, c.framing, frame); f.RetCode != "Err-Core-415" || f.RetMessage != "codec 2" {
			t.Errorf("%v: the peer reads %+v", c.framing, f)
		}
	}
}
