package thrift

import (
	"bytes"
	"errors"
	"testing"

	apache "github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/codectest"
)

// reads is an Apache client's side of a connection in this layout, with in waiting to be read.
func reads(w protocol.Wire, in []byte) apache.TProtocol {
	sock := apache.NewTMemoryBuffer()
	sock.Write(in)
	var trans apache.TTransport = sock
	switch w.Framing {
	case protocol.THeader:
		return apache.NewTHeaderProtocolConf(sock, nil)
	case protocol.FramedBinary, protocol.FramedLax, protocol.FramedCompact:
		trans = apache.NewTFramedTransportConf(sock, nil)
	}
	return apacheProtocol(w.Payload, trans)
}

// What an Apache client gets for the call of an Apache client: its own sequence, its bare method, and the fault as the
// exception that generated code throws, or the server's result.
func TestApacheClientReads(t *testing.T) {
	for _, peer := range allWires() {
		for _, w := range peer.Wires {
			if w.Payload == protocol.PayloadAny || w.Framing == protocol.TTHeader {
				continue
			}
			t.Run(codectest.WireName(w), func(t *testing.T) {
				m := decoded(t, w.Framing, apacheFrame(t, w, "svc:echo", apache.CALL, 12345, rich(), nil))
				var to protocol.ReplyTo
				to.SetFrom(m)
				for code := protocol.CodeNoService; int(code) < protocol.NumCodes; code++ {
					out := peer.Codec.AppendFault(nil, protocol.Fault{Code: code, Message: "why"}, &to)
					checkFault(t, reads(w, out), code)
				}
				for _, from := range allWires() {
					for _, fw := range from.Wires {
						checkReply(t, from.Codec, fw, peer.Codec, w, &to)
					}
				}
			})
		}
	}
}

func checkFault(t *testing.T, p apache.TProtocol, code protocol.Code) {
	t.Helper()
	name, typ, seq, err := p.ReadMessageBegin(bg)
	if err != nil || name != "echo" || typ != apache.EXCEPTION || seq != 12345 {
		t.Fatalf("%v: %q, %d, %d, %v", code, name, typ, seq, err)
	}
	ex := apache.NewTApplicationException(0, "")
	if err := ex.Read(bg, p); err != nil {
		t.Fatalf("%v: %v", code, err)
	}
	var app apache.TApplicationException
	if !errors.As(ex, &app) || app.TypeId() != code.AppType() || app.Error() != (protocol.Fault{Code: code, Message: "why"}).Text() {
		t.Errorf("%v: %d %q", code, app.TypeId(), app.Error())
	}
}

// checkReply: a server's reply in one layout is read by an Apache client in another.
func checkReply(t *testing.T, from protocol.Codec, fw protocol.Wire, to protocol.Codec, w protocol.Wire, rt *protocol.ReplyTo) {
	t.Helper()
	body := rich()
	src := protocol.Message{
		Wire: protocol.Wire{Framing: protocol.OSP, Payload: protocol.Binary}, Type: protocol.MessageReply,
		Body: apacheStruct(t, protocol.Binary, body),
	}
	frame, err := from.AppendReply(nil, &src, &protocol.ReplyTo{Wire: fw, Seq: 9, MsgSeq: 9, Method: []byte("echo")}, new(protocol.Scratch))
	if err != nil {
		t.Fatal(err)
	}
	out, err := to.AppendReply(nil, decoded(t, fw.Framing, frame), rt, new(protocol.Scratch))
	if err != nil {
		t.Fatal(err)
	}
	p := reads(w, out)
	name, typ, seq, err := p.ReadMessageBegin(bg)
	if err != nil || name != "echo" || typ != apache.REPLY || seq != 12345 {
		t.Fatalf("from %+v: %q, %d, %d, %v", fw, name, typ, seq, err)
	}
	if got, err := readNode(p, apache.STRUCT); err != nil || !got.equal(body) {
		t.Errorf("from %+v: read %+v, %v", fw, got, err)
	}
	if bytes.Contains(out, []byte("svc:")) {
		t.Errorf("from %+v: the reply carries the prefix", fw)
	}
}
