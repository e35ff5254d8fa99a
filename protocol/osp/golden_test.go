package osp

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
)

var (
	ospCodec    = Codecs()[0].(*codec)
	dapengCodec = Codecs()[1].(*codec)
)

// golden reads testdata/name.hex: hexadecimal digits, white space, and comments from # to the line's end.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".hex")
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatalf("testdata/%s.hex: %v", name, err)
	}
	return b
}

func decoded(t testing.TB, c *codec, frame []byte) *protocol.Message {
	t.Helper()
	var m protocol.Message
	if err := c.Decode(frame, &m, &protocol.Scratch{}); err != nil {
		t.Fatalf("Decode(%x): %v", frame, err)
	}
	return &m
}

func same(t testing.TB, what string, got []byte, want string) {
	t.Helper()
	if string(got) != want {
		t.Errorf("%s = %q, want %q", what, got, want)
	}
}

func TestGoldenOSPRequest(t *testing.T) {
	frame := golden(t, "osp_request")
	if len(frame) != 135 {
		t.Fatalf("the golden frame has %d bytes, wire.md says 135", len(frame))
	}
	m := decoded(t, ospCodec, frame)
	if m.Wire != (protocol.Wire{Framing: protocol.OSP, Payload: protocol.Binary}) || m.Type != protocol.MessageCall ||
		m.Seq != 1 || m.MsgSeq != 1 || !m.OutOfOrder || m.GoingAway || m.Timeout != 0 || len(m.Info) != 0 {
		t.Errorf("decoded as %+v", m)
	}
	same(t, "service", m.Service, "com.vip.hello.HelloService")
	same(t, "method", m.Method, "sayHello")
	same(t, "version", m.Version, "1.0.0")
	same(t, "caller", m.Caller, "demo.vip.vip.com")
	same(t, "body", m.Body, "\x0b\x00\x01\x00\x00\x00\x03bob\x00")
	same(t, "header", m.Header, string(frame[10:len(frame)-1-len(m.Body)]))
	reencoded(t, ospCodec, m, frame)
}

func TestGoldenDapengRequest(t *testing.T) {
	frame := golden(t, "dapeng_request")
	if len(frame) != 83 {
		t.Fatalf("the golden frame has %d bytes, wire.md says 83", len(frame))
	}
	m := decoded(t, dapengCodec, frame)
	if m.Wire != (protocol.Wire{Framing: protocol.Dapeng, Payload: protocol.Compact}) || m.Type != protocol.MessageCall ||
		m.Seq != 1 || !m.OutOfOrder || m.Timeout != 500*time.Millisecond || len(m.Info) != 0 {
		t.Errorf("decoded as %+v", m)
	}
	same(t, "service", m.Service, "com.demo.Hello")
	same(t, "method", m.Method, "sayHello")
	same(t, "version", m.Version, "1.0.0")
	same(t, "body", m.Body, "\x18\x03bob\x00")
	reencoded(t, dapengCodec, m, frame)
}

// reencoded checks that the call leaves byte for byte, and with another sequence but for that.
func reencoded(t *testing.T, c *codec, m *protocol.Message, frame []byte) {
	t.Helper()
	for _, seq := range []int32{1, 0x01020304, -2} {
		want := bytes.Clone(frame)
		copy(want[c.seqAt:], []byte{byte(seq >> 24), byte(seq >> 16), byte(seq >> 8), byte(seq)})
		got, err := c.AppendCall([]byte("before"), m, protocol.Wire{Framing: c.framing}, seq, &protocol.Scratch{})
		if err != nil || string(got) != "before"+string(want) {
			t.Errorf("sequence %d: AppendCall = %x, %v, want %x", seq, got, err, want)
		}
	}
}

func TestGoldenFramesInTheOtherPayloadComeBack(t *testing.T) {
	for _, c := range []struct {
		codec *codec
		name  string
	}{{ospCodec, "osp_request"}, {dapengCodec, "dapeng_request"}} {
		frame := golden(t, c.name)
		m := decoded(t, c.codec, frame)
		other := protocol.Binary
		if m.Payload == protocol.Binary {
			other = protocol.Compact
		}
		var s protocol.Scratch
		there, err := c.codec.AppendCall(nil, m, protocol.Wire{Framing: c.codec.framing, Payload: other}, 7, &s)
		if err != nil {
			t.Fatal(err)
		}
		o := decoded(t, c.codec, there)
		if o.Payload != other || o.Seq != 7 || string(o.Service) != string(m.Service) || string(o.Caller) != string(m.Caller) || o.Timeout != m.Timeout {
			t.Errorf("%s in %v is %+v", c.name, other, o)
		}
		back, err := c.codec.AppendCall(nil, o, protocol.Wire{Framing: c.codec.framing, Payload: m.Payload}, 1, &s)
		if err != nil || !bytes.Equal(back, frame) {
			t.Errorf("%s came back as %x, %v", c.name, back, err)
		}
	}
}
