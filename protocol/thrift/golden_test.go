package thrift

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	apache "github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/codectest"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// goldens are the hand-made frames and what they say.
func goldens(t testing.TB) map[protocol.Framing][]codectest.Sample {
	bob, cmp := unhex(t, "0b0001 00000003 626f62 00"), unhex(t, "18 03 626f62 00")
	foo := map[string]string{"foo": "bar"}
	tt := codectest.Want{
		Type: 1, Payload: protocol.Binary, Seq: 7, MsgSeq: 3, Service: "demo", Method: "echo", Caller: "app",
		Trace: "00", Timeout: 500 * time.Millisecond, Info: map[string]string{"foo": "bar", "isn": "demo.IDL"}, OutOfOrder: true, Body: bob,
	}
	inner := tt
	inner.Inner = true
	return map[protocol.Framing][]codectest.Sample{
		protocol.FramedBinary: {
			{Name: "framed-strict", Want: codectest.Want{Type: 1, Payload: protocol.Binary, Seq: 3, MsgSeq: 3, Method: "echo", Body: bob}},
			{Name: "framed-lax", Want: codectest.Want{Type: 4, Payload: protocol.Binary, Seq: 3, MsgSeq: 3, Method: "echo", Body: bob, Lax: true}},
		},
		protocol.FramedLax: {
			{Name: "framed-strict", Want: codectest.Want{Type: 1, Payload: protocol.Binary, Seq: 3, MsgSeq: 3, Method: "echo", Body: bob}},
			{Name: "framed-lax", Want: codectest.Want{Type: 4, Payload: protocol.Binary, Seq: 3, MsgSeq: 3, Method: "echo", Body: bob, Lax: true}},
		},
		protocol.UnframedLax: {
			{Name: "unframed-lax", Unframed: true, Rewritten: true, Want: codectest.Want{
				Type: 1, Payload: protocol.Binary, Seq: 3, MsgSeq: 3,
				Service: "demo", Method: "echo", Prefixed: true, Body: bob, Lax: true,
			}},
		},
		protocol.FramedCompact: {
			{Name: "framed-compact", Want: codectest.Want{Type: 1, Payload: protocol.Compact, Seq: -2, MsgSeq: -2, Method: "echo", Body: cmp}},
		},
		protocol.THeader: {
			{Name: "theader", Want: codectest.Want{
				Type: 1, Payload: protocol.Binary, Seq: 7, MsgSeq: 3, Service: "demo", Method: "echo",
				Version: "1.0.0", Caller: "app", Trace: "00", Timeout: 500 * time.Millisecond, Info: foo, Body: bob,
			}},
			{Name: "theader-pad4", Want: codectest.Want{Type: 1, Payload: protocol.Compact, Seq: 7, MsgSeq: 3, Method: "echo", Info: foo, Body: cmp}},
			{Name: "theader-unknown", Want: codectest.Want{Type: 1, Payload: protocol.Binary, Seq: 7, MsgSeq: 3, Method: "echo", Info: foo, Body: bob}},
		},
		protocol.TTHeader: {
			{Name: "ttheader", Want: tt},
			{Name: "ttheader-inner", Want: inner},
			{Name: "ttheader-reply", Want: codectest.Want{Type: 2, Payload: protocol.Binary, Seq: 7, MsgSeq: 3, Method: "echo", GoingAway: true, Body: []byte{0}}},
		},
	}
}

func TestGoldenFrames(t *testing.T) {
	for f, samples := range goldens(t) {
		for i := range samples {
			samples[i].Frame = golden(t, samples[i].Name)
		}
		t.Run(f.String(), func(t *testing.T) { codectest.Run(t, codec(t, f), samples, allWires()...) })
	}
}

func decoded(t *testing.T, f protocol.Framing, frame []byte) *protocol.Message {
	t.Helper()
	m := new(protocol.Message)
	if err := codec(t, f).Decode(frame, m, new(protocol.Scratch)); err != nil {
		t.Fatalf("%x: %v", frame, err)
	}
	return m
}

func call(t *testing.T, m *protocol.Message, to protocol.Wire) []byte {
	t.Helper()
	out, err := codec(t, to.Framing).AppendCall(nil, m, to, 0x0a0b0c0d, new(protocol.Scratch))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A header that stays is the same byte for byte, but for the two sequences, whatever is in it.
func TestHeadersPass(t *testing.T) {
	seq := []byte{0x0a, 0x0b, 0x0c, 0x0d}
	for f, names := range map[protocol.Framing][]string{
		protocol.THeader:  {"theader", "theader-unknown"},
		protocol.TTHeader: {"ttheader", "ttheader-inner"},
	} {
		for _, name := range names {
			frame := golden(t, name)
			m := decoded(t, f, frame)
			want := bytes.Clone(frame)
			copy(want[8:], seq)
			copy(want[bytes.LastIndex(want, []byte("echo"))+4:], seq)
			if got := call(t, m, m.Wire); !bytes.Equal(got, want) {
				t.Errorf("%s\n got %x\nwant %x", name, got, want)
			}
		}
	}
}

// With entries to add, a header is written anew: what is not understood stays, an entry of the same key and a caller's
// forged entry of ours go.
func TestExtra(t *testing.T) {
	m := decoded(t, protocol.THeader, golden(t, "theader-unknown"))
	m.Info = append(m.Info, protocol.KV{Key: []byte("bellhop-class"), Value: []byte("backup")})
	m.Extra = append(m.Extra, protocol.KV{Key: []byte("foo"), Value: []byte("new")}, protocol.KV{Key: []byte("bellhop-hop"), Value: []byte("1")})
	out := call(t, m, m.Wire)
	got := decoded(t, protocol.THeader, out)
	if len(got.Info) != 2 || string(got.Info[0].Value) != "new" || string(got.Info[1].Key) != "bellhop-hop" {
		t.Errorf("entries %s", got.Info)
	}
	if !bytes.HasPrefix(theaderTail(got.Header), unhex(t, "05 dead 00")) {
		t.Errorf("the unknown block is gone: %x", got.Header)
	}
	m = decoded(t, protocol.TTHeader, golden(t, "ttheader"))
	m.Extra = append(m.Extra, protocol.KV{Key: []byte("foo"), Value: []byte("new")})
	out = call(t, m, m.Wire)
	got = decoded(t, protocol.TTHeader, out)
	if v, _ := got.Find("foo"); string(v) != "new" || len(got.Info) != 2 {
		t.Errorf("entries %s", got.Info)
	}
	for _, kept := range []string{"0015 0001 31", "11 0002 746b", "0003 69736e 0008 64656d6f2e49444c"} {
		if !bytes.Contains(got.Header, unhex(t, kept)) {
			t.Errorf("%s is gone: %x", kept, got.Header)
		}
	}
	if !got.OutOfOrder {
		t.Error("the out-of-order flag is gone")
	}
}

// The model's fields cross from one header framing into the other and back.
func TestModelCrosses(t *testing.T) {
	m := decoded(t, protocol.THeader, golden(t, "theader"))
	tt := decoded(t, protocol.TTHeader, call(t, m, protocol.Wire{Framing: protocol.TTHeader, Inner: true}))
	back := decoded(t, protocol.THeader, call(t, tt, protocol.Wire{Framing: protocol.THeader, Zlib: true}))
	for _, got := range []*protocol.Message{tt, back} {
		if string(got.Service) != "demo" || string(got.Version) != "1.0.0" || string(got.Caller) != "app" || string(got.Trace) != "00" || got.Timeout != 500*time.Millisecond {
			t.Errorf("%v: %q %q %q %q %v", got.Framing, got.Service, got.Version, got.Caller, got.Trace, got.Timeout)
		}
		if v, _ := got.Find("foo"); string(v) != "bar" {
			t.Errorf("%v: entries %s", got.Framing, got.Info)
		}
	}
	if !tt.Inner || !back.Zlib {
		t.Errorf("payload forms %+v, %+v", tt.Wire, back.Wire)
	}
}

func TestPrefix(t *testing.T) {
	frame := golden(t, "unframed-lax")
	m := decoded(t, protocol.UnframedLax, frame)
	for _, f := range []protocol.Framing{protocol.FramedBinary, protocol.UnframedLax, protocol.THeader, protocol.TTHeader, protocol.FramedCompact} {
		w := protocol.Wire{Framing: f, Payload: protocol.Binary}
		if f == protocol.FramedCompact {
			w.Payload = protocol.Compact
		}
		m.KeepPrefix = false
		if got := decoded(t, f, call(t, m, w)); got.Prefixed || string(got.Method) != "echo" {
			t.Errorf("%v: method %q, prefixed %t", f, got.Method, got.Prefixed)
		}
		m.KeepPrefix = true
		if got := decoded(t, f, call(t, m, w)); !got.Prefixed || string(got.Method) != "echo" || string(got.Service) != "demo" {
			t.Errorf("%v: method %q of %q, prefixed %t", f, got.Method, got.Service, got.Prefixed)
		}
	}
	// A listener's service becomes a prefix only when asked for; a key wins over a prefix.
	m = decoded(t, protocol.FramedBinary, golden(t, "framed-strict"))
	m.Service, m.KeepPrefix = []byte("bound"), true
	if got := decoded(t, protocol.FramedBinary, call(t, m, m.Wire)); string(got.Service) != "bound" {
		t.Errorf("service %q", got.Service)
	}
	m = decoded(t, protocol.THeader, golden(t, "theader"))
	m.Service, m.KeepPrefix, m.Extra = []byte("other"), true, []protocol.KV{{Key: []byte("a"), Value: nil}}
	raw := call(t, m, m.Wire)
	if !bytes.Contains(raw, []byte("other:echo")) {
		t.Errorf("no prefix in %q", raw)
	}
	raw = bytes.Replace(raw, []byte("\x05other"), []byte("\x05route"), 1)
	if got := decoded(t, protocol.THeader, raw); string(got.Service) != "route" || string(got.Method) != "echo" || !got.Prefixed {
		t.Errorf("service %q, method %q", got.Service, got.Method)
	}
}

// The caller's type may be changed on the way: a method that is declared oneway, called by a framing that has none.
func TestTypeIsWritten(t *testing.T) {
	for _, name := range []string{"framed-strict", "framed-lax"} {
		m := decoded(t, protocol.FramedBinary, golden(t, name))
		m.Type = protocol.MessageCall + protocol.MessageOneway - m.Type
		if got := decoded(t, protocol.FramedBinary, call(t, m, m.Wire)); got.Type != m.Type || got.MsgSeq != 0x0a0b0c0d {
			t.Errorf("%s: type %d, sequence %x", name, got.Type, got.MsgSeq)
		}
	}
}

// Many entries: the count takes two bytes.
func TestManyEntries(t *testing.T) {
	for _, n := range []int{127, 128, 300} {
		m := decoded(t, protocol.FramedBinary, golden(t, "framed-strict"))
		for i := range n {
			m.Info = append(m.Info, protocol.KV{Key: []byte{byte(i), byte(i >> 8)}, Value: []byte("v")})
		}
		for _, f := range []protocol.Framing{protocol.THeader, protocol.TTHeader} {
			got := decoded(t, f, call(t, m, protocol.Wire{Framing: f}))
			if len(got.Info) != n {
				t.Errorf("%v: %d of %d entries", f, len(got.Info), n)
			}
			for i := range got.Info {
				if !bytes.Equal(got.Info[i].Key, m.Info[i].Key) {
					t.Fatalf("%v: entry %d is %x", f, i, got.Info[i].Key)
				}
			}
		}
		m.Info = append(m.Info, protocol.KV{Key: []byte("big"), Value: make([]byte, protocol.MaxHeader)})
		for _, f := range []protocol.Framing{protocol.THeader, protocol.TTHeader} {
			out, err := codec(t, f).AppendCall([]byte("x"), m, protocol.Wire{Framing: f}, 1, new(protocol.Scratch))
			var e *protocol.Error
			if !errors.As(err, &e) || e.Code != protocol.CodeTooLarge || string(out) != "x" {
				t.Errorf("%v: a header above 64 KiB: %d bytes, %v", f, len(out), err)
			}
		}
	}
}

// A TTHeader's log id is its trace when there is no span, its IDL name its service when there is no other.
func TestTTHeaderSeconds(t *testing.T) {
	msg := unhex(t, "80010001 00000004 6563686f 00000003 00")
	m := decoded(t, protocol.TTHeader, headed(magicTTHeader, unhex(t, "00 00 10 0001 0002 0002 3939 01 0001 0003 69736e 0001 73"), msg))
	if string(m.Trace) != "99" || string(m.Service) != "s" || len(m.Info) != 0 {
		t.Errorf("trace %q, service %q, entries %s", m.Trace, m.Service, m.Info)
	}
}

// One caller's large payload does not stay in a worker's scratch space.
func TestScratchShrinks(t *testing.T) {
	var s protocol.Scratch
	var m protocol.Message
	w := protocol.Wire{Framing: protocol.THeader, Payload: protocol.Binary, Zlib: true}
	for _, size := range []int{4 << 20, 10} {
		if err := (theader{}).Decode(apacheFrame(t, w, "echo", apache.CALL, 1, oneString(size), nil), &m, &s); err != nil {
			t.Fatal(err)
		}
		if _, err := (theader{}).AppendCall(nil, &m, w, 1, &s); err != nil {
			t.Fatal(err)
		}
	}
	if n := cap(s.Inflated) + cap(flateOf(&s).msg); n > keepInflated {
		t.Errorf("%d bytes are held", n)
	}
}
