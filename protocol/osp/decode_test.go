package osp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/osp/osppeer"
)

var heartbeat = []byte{0, 0, 0, 0}

// peerFrame is a frame written by the peers, which share no code with this package.
func peerFrame(t testing.TB, framing protocol.Framing, f osppeer.Frame) []byte {
	t.Helper()
	b, err := osppeer.EncodeFrame(framing, &f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rawFrame puts any header and body into a well-formed frame.
func rawFrame(c *codec, p protocol.Payload, header, body string) []byte {
	return shut(append(append(c.open(nil, p, 1), header...), body...), 0)
}

func wantError(t testing.TB, what string, err error, code protocol.Code, reason string) {
	t.Helper()
	var e *protocol.Error
	if !errors.As(err, &e) || e.Code != code || e.Reason != reason {
		t.Errorf("%s: error %v (%v), want %s with code %v", what, err, e, reason, code)
	}
}

func goldens(t testing.TB) map[*codec][]byte {
	return map[*codec][]byte{ospCodec: golden(t, "osp_request"), dapengCodec: golden(t, "dapeng_request")}
}

func TestSplitAtEveryByte(t *testing.T) {
	for c, frame := range goldens(t) {
		stream := append(append(append([]byte{}, frame...), heartbeat...), frame...)
		for cut := range len(frame) {
			var sc protocol.Scan
			n, err := c.Split(&sc, stream[:cut], protocol.DefaultMaxFrame)
			if n != 0 || err != nil || sc.Need <= cut || sc.Need > len(frame) {
				t.Fatalf("%v: Split of %d bytes = %d, %v, needs %d", c.framing, cut, n, err, sc.Need)
			}
			if n, err = c.Split(&sc, stream, protocol.DefaultMaxFrame); n != len(frame) || err != nil {
				t.Fatalf("%v: Split of all after %d bytes = %d, %v", c.framing, cut, n, err)
			}
		}
		var sc protocol.Scan
		var got []int
		for rest := stream; len(rest) > 0; {
			n, err := c.Split(&sc, rest, len(frame))
			if err != nil || n == 0 {
				t.Fatalf("%v: Split = %d, %v", c.framing, n, err)
			}
			got, rest = append(got, n), rest[n:]
		}
		if want := []int{len(frame), 4, len(frame)}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v: frames of %v bytes, want %v", c.framing, got, want)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	for c, frame := range goldens(t) {
		for _, bad := range []struct {
			what   string
			buf    []byte
			max    int
			code   protocol.Code
			reason string
		}{
			{"a byte above the cap", frame[:4], len(frame) - 1, protocol.CodeTooLarge, "too_large"},
			{"the largest length", []byte{0xff, 0xff, 0xff, 0xff}, 1 << 40, protocol.CodeTooLarge, "too_large"},
			{"above the hard maximum", []byte{0x40, 0, 0, 0}, 1 << 40, protocol.CodeTooLarge, "too_large"},
			{"too short", []byte{0, 0, 0, 7}, 1 << 20, protocol.CodeProtocolError, "frame_too_short"},
			{"no STX", []byte{0, 0, 0, 40, 0x80}, 1 << 20, protocol.CodeProtocolError, "bad_stx"},
		} {
			n, err := c.Split(&protocol.Scan{}, bad.buf, bad.max)
			if n != 0 {
				t.Errorf("%v: %s: n = %d", c.framing, bad.what, n)
			}
			wantError(t, c.framing.String()+": "+bad.what, err, bad.code, bad.reason)
		}
	}
}

func TestHeartbeats(t *testing.T) {
	for _, c := range []*codec{ospCodec, dapengCodec} {
		m := decoded(t, c, heartbeat)
		if m.Type != protocol.MessageHeartbeat || m.IsCall() || m.Payload == protocol.PayloadAny {
			t.Errorf("%v: heartbeat decoded as %+v", c.framing, m)
		}
		echo, err := c.AppendReply(nil, m, &protocol.ReplyTo{Wire: m.Wire}, &protocol.Scratch{})
		if err != nil || !bytes.Equal(echo, heartbeat) {
			t.Errorf("%v: the echo is %x, %v", c.framing, echo, err)
		}
	}
}

func TestTruncatedAtEveryByte(t *testing.T) {
	for c, frame := range goldens(t) {
		for cut := 1; cut < len(frame); cut++ {
			var m protocol.Message
			if err := c.Decode(frame[:cut], &m, &protocol.Scratch{}); err == nil {
				t.Errorf("%v: the first %d bytes were decoded", c.framing, cut)
			}
			if cut+1 < lengthSize+c.minLength() || cut == len(frame)-1 {
				continue // Split refuses it; the whole frame
			}
			fitted := append(bytes.Clone(frame[:cut]), etx) // a length and an ETX that fit: only the structs are cut
			binary.BigEndian.PutUint32(fitted, uint32(len(fitted)-4))
			err := c.Decode(fitted, &m, &protocol.Scratch{})
			var e *protocol.Error
			if !errors.As(err, &e) || e.Code != protocol.CodeProtocolError {
				t.Errorf("%v: cut at %d: %v", c.framing, cut, err)
			}
			if m.Type != protocol.MessageCall || m.Seq != 1 || m.Payload == protocol.PayloadAny {
				t.Errorf("%v: cut at %d: cannot be answered: %+v", c.framing, cut, m)
			}
			if cut > c.head+60 && string(m.Method) != "sayHello" {
				t.Errorf("%v: cut at %d: the method that was readable is %q", c.framing, cut, m.Method)
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	const stop = "\x00"
	patch := func(c *codec, at int, b byte) []byte {
		frame := golden(t, map[protocol.Framing]string{protocol.OSP: "osp_request", protocol.Dapeng: "dapeng_request"}[c.framing])
		frame[(at+len(frame))%len(frame)] = b
		return frame
	}
	str := func(id byte, s string) string {
		return string(binary.BigEndian.AppendUint32([]byte{tString, 0, id}, uint32(len(s)))) + s
	}
	many := string(binary.BigEndian.AppendUint32([]byte{tMap, 0, 16, tString, tString}, maxEntries+1)) + strings.Repeat("\x00", 8*(maxEntries+1))
	for _, bad := range []struct {
		what   string
		c      *codec
		frame  []byte
		code   protocol.Code
		reason string
	}{
		{"TJSON", ospCodec, patch(ospCodec, 5, 2), protocol.CodeUnsupported, "codec_json"},
		{"codec 3", ospCodec, patch(ospCodec, 5, 3), protocol.CodeUnsupported, "codec_unknown"},
		{"dapeng JSON", dapengCodec, patch(dapengCodec, 6, 2), protocol.CodeUnsupported, "codec_json"},
		{"dapeng version 2", dapengCodec, patch(dapengCodec, 5, 2), protocol.CodeUnsupported, "dapeng_version"},
		{"no STX", ospCodec, patch(ospCodec, 4, 3), protocol.CodeProtocolError, "bad_stx"},
		{"no ETX", ospCodec, patch(ospCodec, -1, 0), protocol.CodeProtocolError, "bad_etx"},
		{"another length", ospCodec, patch(ospCodec, 3, 0x82), protocol.CodeProtocolError, "length_mismatch"},
		{"tiny", ospCodec, []byte{0, 0, 0, 1, 2}, protocol.CodeProtocolError, "frame_too_short"},
		{"two bodies", ospCodec, rawFrame(ospCodec, protocol.Binary, stop, stop+stop), protocol.CodeProtocolError, "trailing_bytes"},
		{"two bodies", dapengCodec, rawFrame(dapengCodec, protocol.Compact, stop, stop+stop), protocol.CodeProtocolError, "trailing_bytes"},
		{"a string past the frame", ospCodec, rawFrame(ospCodec, protocol.Binary, stop, "\x0b\x00\x01\x00\x00\x00\x09bob"+stop), protocol.CodeProtocolError, "string_past_frame"},
		{"a header past the frame", ospCodec, rawFrame(ospCodec, protocol.Binary, "\x0b\x00\x01\x00\x00\x00\x20abcdefgh", stop), protocol.CodeProtocolError, "header_past_frame"},
		{"a call without a body", dapengCodec, rawFrame(dapengCodec, protocol.Binary, str(1, "a service")+stop, ""), protocol.CodeProtocolError, "short"},
		{"a long name", ospCodec, rawFrame(ospCodec, protocol.Binary, str(2, strings.Repeat("m", protocol.MaxName+1))+stop, stop), protocol.CodeProtocolError, "name_too_long"},
		{"a large header", ospCodec, rawFrame(ospCodec, protocol.Binary, str(99, strings.Repeat("x", protocol.MaxHeader))+stop, stop), protocol.CodeTooLarge, "header_too_large"},
		{"too many cookies", ospCodec, rawFrame(ospCodec, protocol.Binary, many+stop, stop), protocol.CodeTooLarge, "header_entries"},
		{"an OK reply without a body", dapengCodec, rawFrame(dapengCodec, protocol.Binary, str(11, "0000")+stop, ""), protocol.CodeProtocolError, "no_body"},
		{"an OSP call without a body", ospCodec, rawFrame(ospCodec, protocol.Binary, str(2, "m")+stop, ""), protocol.CodeProtocolError, "short"},
		{"an OK OSP reply without a body", ospCodec, rawFrame(ospCodec, protocol.Binary, str(7, "0")+stop, ""), protocol.CodeProtocolError, "no_body"},
	} {
		var m protocol.Message
		err := bad.c.Decode(bad.frame, &m, &protocol.Scratch{})
		wantError(t, bad.c.framing.String()+": "+bad.what, err, bad.code, bad.reason)
		if m.Payload == protocol.PayloadAny || m.Type == 0 || len(m.Method) > protocol.MaxName {
			t.Errorf("%v: %s: cannot be answered: %+v", bad.c.framing, bad.what, m)
		}
	}
}

func TestLimitsAreReached(t *testing.T) {
	name := strings.Repeat("m", protocol.MaxName)
	for _, p := range []protocol.Payload{protocol.Binary, protocol.Compact} {
		frame := peerFrame(t, protocol.OSP, osppeer.Frame{Payload: p, Body: []byte{0}, Header: osppeer.Header{Method: name}})
		same(t, "the longest method", decoded(t, ospCodec, frame).Method, name)
	}
	// head(3) + length(4) + text + stop = the cap
	text := strings.Repeat("x", protocol.MaxHeader-8)
	header := string(binary.BigEndian.AppendUint32([]byte{tString, 0, 99}, uint32(len(text)))) + text + "\x00"
	if m := decoded(t, ospCodec, rawFrame(ospCodec, protocol.Binary, header, "\x00")); len(m.Header) != protocol.MaxHeader {
		t.Errorf("a header of %d bytes was decoded to %d", protocol.MaxHeader, len(m.Header))
	}
}

func TestHeaderFields(t *testing.T) {
	for _, framing := range []protocol.Framing{protocol.OSP, protocol.Dapeng} {
		for _, p := range []protocol.Payload{protocol.Binary, protocol.Compact} {
			h := osppeer.Header{
				Service: "S", Method: "m", Version: "2.1", Caller: "shop", Timeout: 1500 * time.Millisecond,
				Cookies: map[string]string{"traceparent": "00-4bf9-01"},
			}
			h.Cookies["uid"] = "17"
			h.Cookies["bellhop-source"] = "a forged one"
			m := decoded(t, sibCodec(framing), peerFrame(t, framing, osppeer.Frame{Payload: p, Seq: -5, Body: []byte{0}, Header: h}))
			if m.Framing != framing || m.Payload != p || m.Seq != -5 || m.Type != protocol.MessageCall || m.Timeout != h.Timeout {
				t.Errorf("%v %v: decoded as %+v", framing, p, m)
			}
			same(t, "service", m.Service, "S")
			same(t, "method", m.Method, "m")
			same(t, "version", m.Version, "2.1")
			same(t, "caller", m.Caller, "shop")
			same(t, "trace", m.Trace, "00-4bf9-01")
			if len(m.Info) != 1 || string(m.Info[0].Key) != "uid" || string(m.Info[0].Value) != "17" {
				t.Errorf("%v %v: Info = %q", framing, p, m.Info)
			}
		}
	}
}

func sibCodec(f protocol.Framing) *codec {
	if f == protocol.Dapeng {
		return dapengCodec
	}
	return ospCodec
}

func TestReplies(t *testing.T) {
	ext := map[string]string{"errorLocation": "proxy", "bellhop-state": "closing"}
	for _, c := range []struct {
		framing   protocol.Framing
		code      string
		body      []byte
		ext       map[string]string
		want      protocol.MessageType
		goingAway bool
	}{
		{protocol.OSP, "0", []byte{0}, nil, protocol.MessageReply, false},
		{protocol.OSP, "0", []byte{0}, ext, protocol.MessageReply, true},
		{protocol.OSP, "", []byte{0}, nil, protocol.MessageException, false},
		{protocol.OSP, "USER-1", []byte{0}, ext, protocol.MessageException, true},
		{protocol.OSP, "0000", []byte{0}, nil, protocol.MessageException, false},
		{protocol.OSP, "USER-1", nil, nil, protocol.MessageException, false},
		{protocol.Dapeng, "0000", []byte{0}, nil, protocol.MessageReply, false},
		{protocol.Dapeng, "Err-Core-500", nil, nil, protocol.MessageException, false},
		{protocol.Dapeng, "0", nil, nil, protocol.MessageException, false},
	} {
		for _, p := range []protocol.Payload{protocol.Binary, protocol.Compact} {
			frame := peerFrame(t, c.framing, osppeer.Frame{
				Payload: p, Seq: 9, Body: c.body,
				Header: osppeer.Header{Method: "m", Reply: true, RetCode: c.code, RetMessage: "why", Ext: c.ext},
			})
			m := decoded(t, sibCodec(c.framing), frame)
			if m.Type != c.want || m.GoingAway != c.goingAway || len(m.Body) != len(c.body) {
				t.Errorf("%v %q: decoded as %+v", c.framing, c.code, m)
			}
			same(t, "retCode", m.RetCode, c.code)
			same(t, "retMessage", m.RetMessage, "why")
			if location, ok := m.Find("errorLocation"); c.ext != nil && (!ok || string(location) != "proxy") {
				t.Errorf("%v %q: errorLocation is not in Info: %q", c.framing, c.code, m.Info)
			}
		}
	}
}

func TestRepliesAreNotWalked(t *testing.T) {
	frame := rawFrame(ospCodec, protocol.Binary, "\x0b\x00\x07\x00\x00\x00\x010\x00", "\x0b\x00\x01 not a struct")
	if m := decoded(t, ospCodec, frame); m.Type != protocol.MessageReply {
		t.Errorf("decoded as %+v", m)
	}
}

func TestWrongTypesAndUnknownIDsArePassedOver(t *testing.T) {
	// serviceName as i32, an unknown struct that holds a list of maps, retCode as bool, cookie as map<string,i32>,
	// the method, extFields as list<string>
	header := "\x08\x00\x01\x00\x00\x00\x07" +
		"\x0c\x03\xe8\x0f\x00\x01\x0d\x00\x00\x00\x01\x0b\x08\x00\x00\x00\x01\x00\x00\x00\x01k\x00\x00\x00\x05\x00" +
		"\x02\x00\x07\x01" +
		"\x0d\x00\x10\x0b\x08\x00\x00\x00\x01\x00\x00\x00\x01k\x00\x00\x00\x05" +
		"\x0b\x00\x02\x00\x00\x00\x04echo" +
		"\x0f\x00\x28\x0b\x00\x00\x00\x01\x00\x00\x00\x01e\x00"
	frame := rawFrame(ospCodec, protocol.Binary, header, "\x00")
	m := decoded(t, ospCodec, frame)
	same(t, "method", m.Method, "echo")
	if m.Type != protocol.MessageCall || len(m.Service) != 0 || len(m.Info) != 0 || string(m.Header) != header {
		t.Errorf("decoded as %+v", m)
	}
	reencoded(t, ospCodec, m, frame)

	there, err := ospCodec.AppendCall(nil, m, protocol.Wire{Framing: protocol.OSP, Payload: protocol.Compact}, 1, &protocol.Scratch{})
	if err != nil {
		t.Fatal(err)
	}
	o := decoded(t, ospCodec, there)
	same(t, "method in compact", o.Method, "echo")
	back, err := ospCodec.AppendCall(nil, o, protocol.Wire{Framing: protocol.OSP, Payload: protocol.Binary}, 1, &protocol.Scratch{})
	if err != nil || !bytes.Equal(back, frame) {
		t.Errorf("unknown fields did not survive compact and back: %x, %v, want %x", back, err, frame)
	}
}

func TestCompactHeaderOutOfOrder(t *testing.T) {
	// 16 cookie {"k":"v"} by delta 1 after 15 true; 2 method, 1 serviceName and 40 by absolute zig-zag ids
	header := "\xf1" + "\x1b\x01\x88\x01k\x01v" + "\x08\x04\x04echo" + "\x08\x02\x01S" + "\x0b\x50\x01\x88\x12bellhop-timeout-ms\x0225" + "\x00"
	m := decoded(t, ospCodec, rawFrame(ospCodec, protocol.Compact, header, "\x00"))
	same(t, "method", m.Method, "echo")
	same(t, "service", m.Service, "S")
	if v, ok := m.Find("k"); !ok || string(v) != "v" || m.Timeout != 25*time.Millisecond {
		t.Errorf("decoded as %+v", m)
	}
}

func TestTimeoutsThatAreNone(t *testing.T) {
	for _, v := range []string{"", "-5", "soon", "1.5", "99999999999999999999", "2147483648"} {
		frame := peerFrame(t, protocol.OSP, osppeer.Frame{
			Payload: protocol.Binary, Body: []byte{0},
			Header: osppeer.Header{Ext: map[string]string{"bellhop-timeout-ms": v}},
		})
		if m := decoded(t, ospCodec, frame); m.Timeout != 0 {
			t.Errorf("%q is a timeout of %v", v, m.Timeout)
		}
	}
	frame := rawFrame(dapengCodec, protocol.Binary, "\x08\x00\x0a\xff\xff\xff\xff\x00", "\x00")
	if m := decoded(t, dapengCodec, frame); m.Timeout != 0 {
		t.Errorf("-1 ms is a timeout of %v", m.Timeout)
	}
}
