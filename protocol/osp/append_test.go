package osp

import (
	"bufio"
	"bytes"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/osp/osppeer"
)

const bob = "\x0b\x00\x01\x00\x00\x00\x03bob\x00" // {1: "bob"} in TBinary

var payloads = []protocol.Payload{protocol.Binary, protocol.Compact}

// read has the peers read what the codecs wrote.
func read(t testing.TB, framing protocol.Framing, frame []byte) *osppeer.Frame {
	t.Helper()
	f, err := osppeer.ReadFrame(bufio.NewReader(bytes.NewReader(frame)), framing)
	if err != nil {
		t.Fatalf("the peer does not understand %x: %v", frame, err)
	}
	return f
}

func kv(words ...string) (kvs []protocol.KV) {
	for i := 0; i < len(words); i += 2 {
		kvs = append(kvs, protocol.KV{Key: []byte(words[i]), Value: []byte(words[i+1])})
	}
	return kvs
}

// thriftCall is a call as a THeader codec decodes it.
func thriftCall() *protocol.Message {
	return &protocol.Message{
		Wire: protocol.Wire{Framing: protocol.THeader, Payload: protocol.Binary}, Type: protocol.MessageCall, Seq: 4,
		Service: []byte("S"), Method: []byte("m"), Caller: []byte("shop"), Trace: []byte("00-4bf9-01"),
		Timeout: 1500 * time.Millisecond, Info: kv("uid", "17", "bellhop-hop", "1"), Body: []byte(bob),
	}
}

func bodyIn(t testing.TB, p protocol.Payload) string {
	t.Helper()
	b, err := protocol.Transcode(nil, protocol.Binary, p, []byte(bob), 0)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCallFromAnotherFraming(t *testing.T) {
	for _, c := range []*codec{ospCodec, dapengCodec} {
		for _, p := range payloads {
			m := thriftCall()
			m.Extra = kv("bellhop-source", "pod-1")
			frame, err := c.AppendCall(nil, m, protocol.Wire{Framing: c.framing, Payload: p}, 77, &protocol.Scratch{})
			if err != nil {
				t.Fatal(err)
			}
			f := read(t, c.framing, frame)
			cookies, ext := map[string]string{"traceparent": "00-4bf9-01", "uid": "17"}, map[string]string{"bellhop-timeout-ms": "1500", "bellhop-source": "pod-1"}
			version := ""
			if c.framing == protocol.Dapeng {
				cookies["bellhop-source"], ext, version = "pod-1", nil, "1.0.0"
			}
			if f.Service != "S" || f.Method != "m" || f.Version != version || f.Caller != "shop" || f.Timeout != m.Timeout ||
				f.Reply || f.Seq != 77 || f.Payload != p || !maps.Equal(f.Cookies, cookies) || !maps.Equal(f.Ext, ext) {
				t.Errorf("%v %v: the peer reads %+v", c.framing, p, f)
			}
			same(t, "body", f.Body, bodyIn(t, p))
			d := decoded(t, c, frame)
			if d.Timeout != m.Timeout || string(d.Trace) != string(m.Trace) || len(d.Info) != 1 {
				t.Errorf("%v %v: decoded as %+v", c.framing, p, d)
			}
		}
	}
}

func TestCallOfNothingButItsBody(t *testing.T) {
	m := &protocol.Message{Wire: protocol.Wire{Framing: protocol.FramedBinary, Payload: protocol.Binary}, Type: protocol.MessageOneway, Body: []byte{0}}
	frame, err := ospCodec.AppendCall(nil, m, protocol.Wire{Framing: protocol.OSP}, 1, &protocol.Scratch{})
	if want := rawFrame(ospCodec, protocol.Binary, "\x00", "\x00"); err != nil || !bytes.Equal(frame, want) {
		t.Errorf("AppendCall = %x, %v, want %x", frame, err, want)
	}
	frame, err = dapengCodec.AppendCall(nil, m, protocol.Wire{Framing: protocol.Dapeng}, 1, &protocol.Scratch{})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(frame, []byte("\x0d\x00\x17\x0b\x0b\x00\x00\x00\x00\x00")) {
		t.Errorf("dapeng's cookies are always written: %x", frame)
	}
}

func TestShortTimeoutIsNotNone(t *testing.T) {
	m := thriftCall()
	m.Timeout = 300 * time.Microsecond
	frame, err := dapengCodec.AppendCall(nil, m, protocol.Wire{Framing: protocol.Dapeng}, 1, &protocol.Scratch{})
	if err != nil || read(t, protocol.Dapeng, frame).Timeout != time.Millisecond {
		t.Errorf("0.3 ms left became %x, %v", frame, err)
	}
}

func TestExtraIsMerged(t *testing.T) {
	for _, framing := range []protocol.Framing{protocol.OSP, protocol.Dapeng} {
		for _, p := range payloads {
			for _, to := range payloads {
				c := sibCodec(framing)
				h := osppeer.Header{Service: "S", Method: "m", Caller: "shop", Cookies: map[string]string{"uid": "17"}}
				want := map[string]string{"bellhop-source": "pod-1", "bellhop-attempt": ""}
				place := func(h *osppeer.Header) *map[string]string { return &h.Ext }
				if framing == protocol.Dapeng {
					place = func(h *osppeer.Header) *map[string]string { return &h.Cookies }
					want["uid"] = "17"
				}
				for _, old := range []map[string]string{nil, {}, {"k": "v", "bellhop-source": "forged", "l": "w"}} {
					g := h
					g.Cookies = maps.Clone(h.Cookies)
					if old != nil {
						if *place(&g) == nil {
							*place(&g) = map[string]string{}
						}
						maps.Copy(*place(&g), old)
					}
					m := decoded(t, c, peerFrame(t, framing, osppeer.Frame{Payload: p, Body: []byte(bodyIn(t, p)), Header: g}))
					m.Extra = kv("bellhop-source", "pod-1", "bellhop-attempt", "")
					frame, err := c.AppendCall(nil, m, protocol.Wire{Framing: framing, Payload: to}, 3, &protocol.Scratch{})
					if err != nil {
						t.Fatal(err)
					}
					f := read(t, framing, frame)
					all := maps.Clone(old)
					if all == nil {
						all = map[string]string{}
					}
					maps.Copy(all, want)
					if f.Service != "S" || f.Method != "m" || f.Caller != "shop" || f.Cookies["uid"] != "17" || !maps.Equal(*place(&f.Header), all) {
						t.Errorf("%v %v to %v: the peer reads %+v, want %v", framing, p, to, f, all)
					}
					same(t, "body", f.Body, bodyIn(t, to))
					decoded(t, c, frame)
				}
			}
		}
	}
}

func TestExtraLeavesOtherFieldsAlone(t *testing.T) {
	// extFields in the middle, an unknown field after it by delta
	header := "\x08\x04\x01m" + "\x0b\x50\x01\x88\x01k\x01v" + "\x11" + "\x00"
	m := decoded(t, ospCodec, rawFrame(ospCodec, protocol.Compact, header, "\x00"))
	m.Extra = kv("a", "b")
	got, err := ospCodec.AppendCall(nil, m, protocol.Wire{Framing: protocol.OSP}, 1, &protocol.Scratch{})
	want := rawFrame(ospCodec, protocol.Compact, "\x08\x04\x01m"+"\x0b\x50\x02\x88\x01k\x01v\x01a\x01b"+"\x11"+"\x00", "\x00")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("AppendCall = %x, %v, want %x", got, err, want)
	}
}

func TestOSPHeaderOfAHandOff(t *testing.T) {
	frame := golden(t, "osp_request")
	o := decoded(t, ospCodec, frame)
	m := thriftCall()
	m.Service, m.Method, m.OSPHeader, m.Body = o.Service, o.Method, o.Header, o.Body
	var s protocol.Scratch
	got, err := ospCodec.AppendCall(nil, m, protocol.Wire{Framing: protocol.OSP}, 1, &s)
	if err != nil || !bytes.Equal(got, frame) {
		t.Errorf("AppendCall = %x, %v, want the frame that was handed over", got, err)
	}
	got, err = ospCodec.AppendCall(nil, m, protocol.Wire{Framing: protocol.OSP, Payload: protocol.Compact}, 1, &s)
	if err != nil {
		t.Fatal(err)
	}
	if f := read(t, protocol.OSP, got); f.Caller != "demo.vip.vip.com" || f.Payload != protocol.Compact {
		t.Errorf("in compact the peer reads %+v", f)
	}
	for header, reason := range map[string]string{
		string(o.Header) + "\x00":                 "trailing_bytes",
		string(o.Header[:len(o.Header)-1]):        "short",
		strings.Repeat("x", protocol.MaxHeader+1): "header_too_large",
		"\x0b\x00\x02\x00\x00\x00\x04drop\x00":    "osp_header",
		"\x0b\x00\x01\x00\x00\x00\x05Other\x00":   "osp_header",
		"\x0b\x00\x01\x00\x00\x00\x7fother.\x00":  "string_past_frame",
	} {
		m.OSPHeader = []byte(header)
		got, err := ospCodec.AppendCall([]byte("before"), m, protocol.Wire{Framing: protocol.OSP}, 1, &s)
		code := protocol.CodeProtocolError
		if reason == "header_too_large" {
			code = protocol.CodeTooLarge
		}
		wantError(t, reason, err, code, reason)
		same(t, "after an error", got, "before")
	}
}

func TestTraceIDsBetweenOSPAndDapeng(t *testing.T) {
	m := decoded(t, ospCodec, golden(t, "osp_request")) // sessionTid 10 is 1, callerTid 11 is 2
	frame, err := dapengCodec.AppendCall(nil, m, protocol.Wire{Framing: protocol.Dapeng}, 1, &protocol.Scratch{})
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"\x0a\x00\x07\x00\x00\x00\x00\x00\x00\x00\x01", "\x0a\x00\x09\x00\x00\x00\x00\x00\x00\x00\x02"} {
		if !strings.Contains(string(frame), field) {
			t.Errorf("%x is not in %x", field, frame)
		}
	}
	back, err := ospCodec.AppendCall(nil, decoded(t, dapengCodec, frame), protocol.Wire{Framing: protocol.OSP}, 1, &protocol.Scratch{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(back), "\x0a\x00\x0b\x00\x00\x00\x00\x00\x00\x00\x02") {
		t.Errorf("callerTid did not come back: %x", back)
	}
}

func TestReplyKeepsItsBytes(t *testing.T) {
	for _, framing := range []protocol.Framing{protocol.OSP, protocol.Dapeng} {
		for _, code := range []string{okOf(framing), "USER-9"} {
			c := sibCodec(framing)
			frame := peerFrame(t, framing, osppeer.Frame{
				Payload: protocol.Compact, Seq: 900, Body: []byte{0},
				Header: osppeer.Header{Method: "m", Reply: true, RetCode: code},
			})
			to := &protocol.ReplyTo{Wire: protocol.Wire{Framing: framing, Payload: protocol.Compact}, Seq: 5}
			got, err := c.AppendReply(nil, decoded(t, c, frame), to, &protocol.Scratch{})
			want := peerFrame(t, framing, osppeer.Frame{
				Payload: protocol.Compact, Seq: 5, Body: []byte{0},
				Header: osppeer.Header{Method: "m", Reply: true, RetCode: code},
			})
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%v %s: AppendReply = %x, %v, want %x", framing, code, got, err, want)
			}
		}
	}
}

func okOf(f protocol.Framing) string { return sibCodec(f).ok }

func TestReplyFromAnotherFraming(t *testing.T) {
	notExecuted := map[string]string{"bellhop-not-executed": "true"}
	cases := []struct {
		what    string
		typ     protocol.MessageType
		app     int32
		message string
		info    []protocol.KV
		code    string // "" is OK
		ext     map[string]string
		cookies map[string]string
	}{
		{what: "a reply", typ: protocol.MessageReply, info: kv("uid", "17", "bellhop-grant", "9"), cookies: map[string]string{"uid": "17"}},
		{what: "an unknown method", typ: protocol.MessageException, app: protocol.AppUnknownMethod, message: "no m here", code: "Err-Core-404"},
		{what: "an unknown type", typ: protocol.MessageException, app: 99, message: "?", code: "Err-Core-500"},
		{what: "a shed call", typ: protocol.MessageException, app: protocol.AppLoadshedding, message: "not executed: busy", code: "Err-Core-503", ext: notExecuted},
		{
			what: "a shed call that says so twice", typ: protocol.MessageException, app: protocol.AppLoadshedding, message: "not executed: busy",
			info: kv("bellhop-not-executed", "true"), code: "Err-Core-503", ext: notExecuted,
		},
		{what: "a busy server", typ: protocol.MessageException, app: protocol.AppLoadshedding, message: "busy", code: "Err-Core-503"},
	}
	for _, framing := range []protocol.Framing{protocol.OSP, protocol.Dapeng} {
		for _, p := range payloads {
			for _, c := range cases {
				body := bob
				if c.typ == protocol.MessageException {
					body = appException(t, c.app, c.message)
				}
				m := &protocol.Message{Wire: protocol.Wire{Framing: protocol.THeader, Payload: protocol.Binary}, Type: c.typ, Info: c.info, Body: []byte(body)}
				to := &protocol.ReplyTo{Wire: protocol.Wire{Framing: framing, Payload: p}, Seq: 12, Service: []byte("S"), Method: []byte("m"), Version: []byte("2.1")}
				frame, err := sibCodec(framing).AppendReply(nil, m, to, &protocol.Scratch{})
				if err != nil {
					t.Fatal(err)
				}
				f := read(t, framing, frame)
				cookies, ext, code, wantBody := maps.Clone(c.cookies), c.ext, c.code, "\x00"
				if framing == protocol.Dapeng {
					wantBody, ext = "", nil
					if cookies == nil {
						cookies = map[string]string{}
					}
					maps.Copy(cookies, c.ext)
				}
				if code == "" {
					code, wantBody = okOf(framing), bodyIn(t, p)
				}
				if f.Service != "S" || f.Method != "m" || f.Version != "2.1" || f.Seq != 12 || f.Payload != p || f.RetCode != code ||
					f.RetMessage != c.message || !maps.Equal(f.Ext, ext) || !maps.Equal(f.Cookies, cookies) {
					t.Errorf("%v %v: %s: the peer reads %+v", framing, p, c.what, f)
				}
				same(t, c.what+": body", f.Body, wantBody)
				decoded(t, sibCodec(framing), frame)
			}
		}
	}
}

// appException is a TApplicationException in TBinary.
func appException(t testing.TB, app int32, message string) string {
	t.Helper()
	w := writer{p: protocol.Binary}
	putString(&w, 1, message)
	w.num(tI32, 2, int64(app))
	w.stop()
	return string(w.dst)
}

func TestErrorRepliesBetweenOSPAndDapeng(t *testing.T) {
	for _, framing := range []protocol.Framing{protocol.OSP, protocol.Dapeng} {
		from, other := sibCodec(framing), protocol.OSP
		body := []byte(nil)
		if framing == protocol.OSP {
			other, body = protocol.Dapeng, []byte{0}
		}
		frame := peerFrame(t, framing, osppeer.Frame{
			Payload: protocol.Binary, Seq: 1, Body: body,
			Header: osppeer.Header{Reply: true, RetCode: "USER-17", RetMessage: "no such user"},
		})
		to := &protocol.ReplyTo{Wire: protocol.Wire{Framing: other, Payload: protocol.Compact}, Seq: 2, Service: []byte("S"), Method: []byte("m")}
		got, err := sibCodec(other).AppendReply(nil, decoded(t, from, frame), to, &protocol.Scratch{})
		if err != nil {
			t.Fatal(err)
		}
		if f := read(t, other, got); f.RetCode != "USER-17" || f.RetMessage != "no such user" || f.Seq != 2 || len(f.Body) != 1-len(body) {
			t.Errorf("%v to %v: the peer reads %+v", framing, other, f)
		}
	}
	ok := peerFrame(t, protocol.OSP, osppeer.Frame{Payload: protocol.Binary, Body: []byte(bob), Header: osppeer.Header{Reply: true, RetCode: "0"}})
	to := &protocol.ReplyTo{Wire: protocol.Wire{Framing: protocol.Dapeng, Payload: protocol.Compact}}
	got, err := dapengCodec.AppendReply(nil, decoded(t, ospCodec, ok), to, &protocol.Scratch{})
	if f := read(t, protocol.Dapeng, got); err != nil || f.RetCode != "0000" || string(f.Body) != bodyIn(t, protocol.Compact) {
		t.Errorf("OSP's 0 became %+v, %v", f, err)
	}
}

func TestReplyHeaderOfAHandOff(t *testing.T) {
	frame := peerFrame(t, protocol.OSP, osppeer.Frame{
		Payload: protocol.Binary, Seq: 5, Body: []byte{0},
		Header: osppeer.Header{Reply: true, RetCode: "USER-17", RetMessage: "no such user", Cookies: map[string]string{"uid": "17"}},
	})
	o := decoded(t, ospCodec, frame)
	m := &protocol.Message{
		Wire: protocol.Wire{Framing: protocol.THeader, Payload: protocol.Binary}, Type: protocol.MessageException,
		Body: []byte(appException(t, protocol.AppUnknown, "no such user")), OSPHeader: o.Header,
	}
	to := &protocol.ReplyTo{Wire: protocol.Wire{Framing: protocol.OSP, Payload: protocol.Binary}, Seq: 5}
	got, err := ospCodec.AppendReply(nil, m, to, &protocol.Scratch{})
	if err != nil || !bytes.Equal(got, frame) {
		t.Errorf("AppendReply = %x, %v, want %x", got, err, frame)
	}
	m.Extra = kv("bellhop-state", "closing")
	got, err = ospCodec.AppendReply(nil, m, to, &protocol.Scratch{})
	if err != nil || !decoded(t, ospCodec, got).GoingAway {
		t.Errorf("the going-away mark is not in %x, %v", got, err)
	}
}

func TestTranscodeIsBounded(t *testing.T) {
	// list<i64> of 200 elements: 203 bytes in compact, 1607 in binary
	body := "\x19\xf6\xc8\x01" + strings.Repeat("\x02", 200) + "\x00"
	m := decoded(t, ospCodec, rawFrame(ospCodec, protocol.Compact, "\x00", body))
	s := &protocol.Scratch{Max: 1000}
	got, err := ospCodec.AppendCall([]byte("before"), m, protocol.Wire{Framing: protocol.OSP, Payload: protocol.Binary}, 1, s)
	var e *protocol.Error
	if e, _ = err.(*protocol.Error); e == nil || e.Code != protocol.CodeTooLarge || string(got) != "before" {
		t.Errorf("AppendCall = %q, %v", got, err)
	}
	s.Max = 2000
	if got, err = ospCodec.AppendCall(nil, m, protocol.Wire{Framing: protocol.OSP, Payload: protocol.Binary}, 1, s); err != nil {
		t.Errorf("AppendCall = %x, %v", got, err)
	}
}
