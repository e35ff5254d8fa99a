package osp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"testing"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/osp/osppeer"
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

func TestClientReadsFaults(t *testing.T) {
	for _, c := range []*codec{ospCodec, dapengCodec} {
		for _, p := range payloads {
			ours, theirs := net.Pipe()
			client := osppeer.NewClient(theirs, c.framing, p)
			served := make(chan error, 1)
			go func() { served <- refuse(c, ours) }()
			reply, err := client.Call("S", "m", []byte{0}, 0)
			var ret *osppeer.RetError
			if !errors.As(err, &ret) || reply.RetCode != "Err-Core-526" || reply.RetMessage != "the queue of S is full" || reply.Method != "m" {
				t.Errorf("%v %v: the client got %+v, %v", c.framing, p, reply, err)
			}
			_ = client.Close()
			if err := <-served; err != nil {
				t.Error(err)
			}
		}
	}
}

// refuse answers one call with a fault.
func refuse(c *codec, conn net.Conn) error {
	defer conn.Close()
	r := bufio.NewReader(conn)
	prefix, err := r.Peek(lengthSize)
	if err != nil {
		return err
	}
	frame := make([]byte, lengthSize+binary.BigEndian.Uint32(prefix))
	if _, err := io.ReadFull(r, frame); err != nil {
		return err
	}
	var m protocol.Message
	if err := c.Decode(frame, &m, &protocol.Scratch{}); err != nil {
		return err
	}
	var to protocol.ReplyTo
	to.SetFrom(&m)
	_, err = conn.Write(c.AppendFault(nil, protocol.Fault{Code: protocol.CodeQueueFull, Message: "the queue of S is full"}, &to))
	return err
}
