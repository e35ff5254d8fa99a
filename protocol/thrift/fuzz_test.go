package thrift

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	apache "github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/codectest"
)

func FuzzSplitDecodeUnframedBinary(f *testing.F)  { fuzzFrames(f, protocol.UnframedBinary) }
func FuzzSplitDecodeUnframedLax(f *testing.F)     { fuzzFrames(f, protocol.UnframedLax) }
func FuzzSplitDecodeFramedBinary(f *testing.F)    { fuzzFrames(f, protocol.FramedBinary) }
func FuzzSplitDecodeFramedLax(f *testing.F)       { fuzzFrames(f, protocol.FramedLax) }
func FuzzSplitDecodeUnframedCompact(f *testing.F) { fuzzFrames(f, protocol.UnframedCompact) }
func FuzzSplitDecodeFramedCompact(f *testing.F)   { fuzzFrames(f, protocol.FramedCompact) }
func FuzzSplitDecodeTHeader(f *testing.F)         { fuzzFrames(f, protocol.THeader) }
func FuzzSplitDecodeTTHeader(f *testing.F)        { fuzzFrames(f, protocol.TTHeader) }

// fuzzFrames: Split in pieces equals Split at once; what Decode accepts as a call means the same in every framing it is
// written for; nothing panics and nothing is read past the bytes.
func fuzzFrames(f *testing.F, framing protocol.Framing) {
	for _, s := range goldens(f)[framing] {
		f.Add(golden(f, s.Name))
	}
	for _, peer := range allWires() {
		for _, w := range peer.Wires {
			if w.Framing == framing && w.Framing != protocol.TTHeader && w.Payload != protocol.PayloadAny {
				f.Add(apacheFrame(f, w, "svc:echo", apache.CALL, -2, rich(), map[string]string{"service": "svc", "foo": "bar"}))
			}
		}
	}
	c := codec(f, framing)
	peers := allWires()
	f.Fuzz(func(t *testing.T, b []byte) {
		checkFrame(t, c, b, peers)
		if len(b) > 4 && !strings.HasPrefix(framing.String(), "binary") && framing != protocol.UnframedCompact {
			checkFrame(t, c, sized(b[4:]), peers) // a length that fits lets more through
		}
	})
}

func checkFrame(t *testing.T, c protocol.Codec, b []byte, peers []codectest.Peer) {
	const limit = 1 << 16
	var once, pieces protocol.Scan
	n, err := c.Split(&once, b[:len(b):len(b)], limit)
	got, gotErr := 0, error(nil)
	for i := 0; i <= len(b) && got == 0 && gotErr == nil; i++ {
		got, gotErr = c.Split(&pieces, b[:i:i], limit)
	}
	if got != n || gotErr != err {
		t.Fatalf("in pieces %d, %v; at once %d, %v", got, gotErr, n, err)
	}
	if n == 0 {
		return
	}
	var m protocol.Message
	s := protocol.Scratch{Max: limit}
	if err := c.Decode(b[:n:n], &m, &s); err != nil {
		var e *protocol.Error
		if !errors.As(err, &e) {
			t.Fatalf("%T", err)
		}
		return
	}
	for _, p := range peers {
		for _, w := range p.Wires {
			if m.IsCall() {
				forwarded(t, &m, p.Codec, w)
				continue
			}
			to := protocol.ReplyTo{Wire: w, Method: m.Method}
			out, err := p.Codec.AppendReply(nil, &m, &to, &protocol.Scratch{Max: 1 << 20})
			if err == nil && len(out) == 0 {
				t.Fatal("an empty reply")
			}
		}
	}
}

// forwarded writes an accepted call for a layout and reads it back.
func forwarded(t *testing.T, m *protocol.Message, c protocol.Codec, w protocol.Wire) {
	s := protocol.Scratch{Max: 1 << 20}
	m.KeepPrefix = m.Prefixed
	out, err := c.AppendCall(nil, m, w, 7, &s)
	if err != nil {
		var e *protocol.Error
		if !errors.As(err, &e) || e.Code != protocol.CodeTooLarge {
			t.Fatalf("%+v: %v", w, err)
		}
		return
	}
	var got protocol.Message
	var sc protocol.Scan
	if n, err := c.Split(&sc, out, 0); n != len(out) || err != nil {
		t.Fatalf("%+v: wrote %x, of which %d bytes are a frame: %v", w, out, n, err)
	}
	if err := c.Decode(out, &got, &s); err != nil {
		var e *protocol.Error
		if len(m.Service)+1+len(m.Method) > protocol.MaxName && errors.As(err, &e) && e.Reason == "name_too_long" {
			return // a service from the header came before the method
		}
		t.Fatalf("%+v: wrote %x: %v", w, out, err)
	}
	if got.Type != m.Type || got.Seq != 7 || got.MsgSeq != 7 {
		t.Fatalf("%+v: type %d, sequences %d, %d", w, got.Type, got.Seq, got.MsgSeq)
	}
	if !bytes.Contains(m.Method, []byte(":")) && !bytes.Contains(m.Service, []byte(":")) && !bytes.Equal(got.Method, m.Method) {
		t.Fatalf("%+v: method %q became %q", w, m.Method, got.Method)
	}
	if !bytes.Equal(codectest.Canonical(t, m.Payload, m.Body), codectest.Canonical(t, got.Payload, got.Body)) {
		t.Fatalf("%+v: body %x became %x", w, m.Body, got.Body)
	}
	if m.Framing == w.Framing && len(m.Info) != len(got.Info) && m.Payload == got.Payload && m.Zlib == got.Zlib {
		t.Fatalf("%+v: entries %s became %s", w, m.Info, got.Info)
	}
}

func FuzzSkipDifferential(f *testing.F) {
	f.Add(apacheStruct(f, protocol.Binary, rich()))
	f.Add(apacheStruct(f, protocol.Compact, rich()))
	f.Fuzz(func(t *testing.T, b []byte) {
		compareSkip(t, protocol.Binary, b)
		compareSkip(t, protocol.Compact, b)
	})
}

// FuzzTHeaderDifferential: a call that is accepted is read by Apache's library as the same call with the same headers,
// and so is what is written for an upstream.
func FuzzTHeaderDifferential(f *testing.F) {
	msg := unhex(f, "80010001 00000004 6563686f 00000003 0b0001 00000003 626f62 00")
	f.Add(unhex(f, "00 00"), msg, false)
	f.Add(unhex(f, "00 01 01"), msg, true)
	f.Add(unhex(f, "02 00 01 01 03 666f6f 03 626172"), unhex(f, "82 21 03 04 6563686f 18 03 626f62 00"), false)
	f.Add(unhex(f, "00 00 01 02 07 73657276696365 04 64656d6f 07 74696d656f7574 03 353030 05 dead"), msg, false)
	f.Fuzz(func(t *testing.T, header, payload []byte, zip bool) {
		if zip {
			payload = deflate(nil, payload, new(protocol.Scratch))
		}
		frame := headed(magicTHeader, header, payload)
		var m protocol.Message
		s := protocol.Scratch{Max: 1 << 20}
		if len(header) > protocol.MaxHeader || (theader{}).Decode(frame, &m, &s) != nil || !m.IsCall() {
			return
		}
		compareTHeader(t, &m, frame, m.MsgSeq)
		for _, w := range []protocol.Wire{m.Wire, {Framing: protocol.THeader, Payload: protocol.Binary, Zlib: !m.Zlib}, {Framing: protocol.THeader, Payload: protocol.Compact}} {
			out, err := theader{}.AppendCall(nil, &m, w, 7, &protocol.Scratch{Max: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			compareTHeader(t, &m, out, 7)
		}
	})
}

// compareTHeader lets Apache's library read a frame that we take for the call m.
func compareTHeader(t *testing.T, m *protocol.Message, frame []byte, seq int32) {
	t.Helper()
	sock := apache.NewTMemoryBuffer()
	sock.Write(frame)
	p := apache.NewTHeaderProtocolConf(sock, nil)
	name, typ, gotSeq, err := p.ReadMessageBegin(bg)
	if err != nil {
		t.Fatalf("%x: Apache: %v", frame, err)
	}
	bare := name
	if i := bytes.IndexByte([]byte(name), ':'); i >= 0 && m.Prefixed {
		if len(name)-i-1 == len(m.Method) {
			bare = name[i+1:]
		}
	}
	if bare != string(m.Method) || protocol.MessageType(typ) != m.Type || gotSeq != seq {
		t.Fatalf("%x: Apache reads %q, type %d, sequence %d", frame, name, typ, gotSeq)
	}
	if err := apache.Skip(bg, p, apache.STRUCT, 100); err != nil {
		t.Fatalf("%x: Apache: %v", frame, err)
	}
	headers := p.GetReadHeaders()
	for key, want := range map[string][]byte{keyService: m.Service, keyVersion: m.Version, keyCaller: m.Caller, keyTrace: m.Trace} {
		if got, ok := headers[key]; ok && got != string(want) {
			t.Fatalf("%x: %s is %q for Apache and %q for us", frame, key, got, want)
		}
	}
	for _, kv := range m.Info {
		if _, ok := headers[string(kv.Key)]; !ok && string(kv.Key) != keyTimeout {
			t.Fatalf("%x: Apache does not see %s", frame, kv)
		}
	}
}
