// Package codectest holds every codec to what protocol.Codec promises: frames that arrive in pieces, cut-off and
// oversized frames, rewriting for every other framing and back, faults that can be read, and no allocation on the way.
// It is imported by tests only and must never know a framing by name: what is special about one stands in its samples.
//
//	samples ─► Run ─┬─ decode   the frame is what Want says
//	                ├─ pieces   every cut, one byte at a time, with the next frame behind it
//	                ├─ cut      every prefix and every shortened frame is refused, not misread
//	                ├─ size     frames above the bound are refused
//	                ├─ same     rewritten for its own framing, back with the old sequence: the same bytes or model
//	                ├─ cross    through every peer codec and back: the same values
//	                ├─ fault    the proxy's own answer is read by the codec itself
//	                ├─ head     forwarded while it arrives: the same bytes as in one piece
//	                └─ allocs   none
package codectest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// Sample is one well-formed frame and what it says.
type Sample struct {
	Name  string
	Frame []byte
	Want  Want
	// Rewritten: written anew for its own framing the frame need not be the same bytes (a zlib stream, a prefixed name).
	Rewritten bool
	// Unframed: the frame does not begin with its length.
	Unframed bool
}

// Want is what a sample decodes to. Everything is compared, so what is left out must be absent.
type Want struct {
	Type                                    protocol.MessageType
	Payload                                 protocol.Payload
	Seq, MsgSeq                             int32
	Service, Method, Version, Caller, Trace string
	Timeout                                 time.Duration
	Info                                    map[string]string
	Body                                    []byte
	Zlib, Inner, Lax, Prefixed              bool
	OutOfOrder, GoingAway                   bool
}

// Peer is a codec to rewrite for, and the layouts of it that an endpoint may be declared to have.
type Peer struct {
	Codec protocol.Codec
	Wires []protocol.Wire
}

// Run holds c to its contract with each of the samples.
func Run(t *testing.T, c protocol.Codec, samples []Sample, peers ...Peer) {
	t.Helper()
	if len(samples) == 0 {
		t.Fatal("no samples")
	}
	for i := range samples {
		k := &kit{c: c, Sample: &samples[i]}
		t.Run(k.Name, func(t *testing.T) {
			t.Run("decode", k.decode)
			t.Run("pieces", k.pieces)
			t.Run("cut", k.cut)
			t.Run("size", k.size)
			t.Run("same", k.same)
			t.Run("fault", k.fault)
			t.Run("head", func(t *testing.T) { k.head(t, peers) })
			t.Run("allocs", k.allocs)
			for _, p := range peers {
				for _, w := range p.Wires {
					t.Run("cross/"+WireName(w), func(t *testing.T) { k.cross(t, p.Codec, w) })
				}
			}
		})
	}
}

// WireName names a layout in test output.
func WireName(w protocol.Wire) string {
	s := w.Framing.String() + "-" + w.Payload.String()
	if w.Zlib {
		s += "-zlib"
	}
	if w.Inner {
		s += "-inner"
	}
	return s
}

type kit struct {
	*Sample
	c protocol.Codec
}

// must decodes a frame that has to be good.
func must(t *testing.T, c protocol.Codec, frame []byte, s *protocol.Scratch) *protocol.Message {
	t.Helper()
	var sc protocol.Scan
	if n, err := c.Split(&sc, frame, 0); err != nil || n != len(frame) {
		t.Fatalf("%v: Split(%x) = %d, %v; the frame has %d bytes", c.Framing(), frame, n, err, len(frame))
	}
	m := new(protocol.Message)
	if err := c.Decode(frame, m, s); err != nil {
		t.Fatalf("%v: Decode(%x): %v", c.Framing(), frame, err)
	}
	return m
}

func (k *kit) decode(t *testing.T) {
	var s protocol.Scratch
	m := must(t, k.c, k.Frame, &s)
	k.compare(t, m)
	if m.Framing != k.c.Framing() {
		t.Errorf("framing %v, want %v", m.Framing, k.c.Framing())
	}
	// A message that is used again keeps nothing of the last frame.
	again := must(t, k.c, k.Frame, &s)
	if err := k.c.Decode(k.Frame, again, &s); err != nil {
		t.Fatal(err)
	}
	k.compare(t, again)
}

func (k *kit) compare(t *testing.T, m *protocol.Message) {
	t.Helper()
	w := &k.Want
	check := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s = %v, want %v", what, got, want)
		}
	}
	check("type", m.Type, w.Type)
	check("payload", m.Payload, w.Payload)
	check("seq", m.Seq, w.Seq)
	check("msg seq", m.MsgSeq, w.MsgSeq)
	check("service", string(m.Service), w.Service)
	check("method", string(m.Method), w.Method)
	check("version", string(m.Version), w.Version)
	check("caller", string(m.Caller), w.Caller)
	check("trace", string(m.Trace), w.Trace)
	check("timeout", m.Timeout, w.Timeout)
	check("zlib", m.Zlib, w.Zlib)
	check("inner", m.Inner, w.Inner)
	check("lax", m.Lax, w.Lax)
	check("prefixed", m.Prefixed, w.Prefixed)
	check("out of order", m.OutOfOrder, w.OutOfOrder)
	check("going away", m.GoingAway, w.GoingAway)
	check("entries", len(m.Info), len(w.Info))
	for _, kv := range m.Info {
		check("entry "+string(kv.Key), string(kv.Value), w.Info[string(kv.Key)])
	}
	if !bytes.Equal(m.Body, w.Body) {
		t.Errorf("body = %x, want %x", m.Body, w.Body)
	}
}

// pieces: the frame arrives one byte at a time, and in two pieces at every cut, with the beginning of the next behind.
func (k *kit) pieces(t *testing.T) {
	feed := func(sc *protocol.Scan, n int) (int, error) {
		buf := k.Frame[:n:n]
		return k.c.Split(sc, buf, 0)
	}
	var sc protocol.Scan
	for n := range k.Frame {
		got, err := feed(&sc, n)
		if got != 0 || err != nil {
			t.Fatalf("Split of %d of %d bytes = %d, %v", n, len(k.Frame), got, err)
		}
		if sc.Need <= n || sc.Need > len(k.Frame) {
			t.Fatalf("after %d of %d bytes Need = %d", n, len(k.Frame), sc.Need)
		}
	}
	if got, err := feed(&sc, len(k.Frame)); got != len(k.Frame) || err != nil {
		t.Fatalf("Split at the end = %d, %v", got, err)
	}
	two := append(bytes.Clone(k.Frame), k.Frame...)
	for n := range k.Frame {
		if _, err := feed(&sc, n); err != nil {
			t.Fatal(err)
		}
		if got, err := k.c.Split(&sc, two, 0); got != len(k.Frame) || err != nil {
			t.Fatalf("cut at %d: Split = %d, %v", n, got, err)
		}
	}
}

// cut: no prefix of a call decodes, not even when its length is made to fit; nothing makes the codec read past the end.
func (k *kit) cut(t *testing.T) {
	var s protocol.Scratch
	var m protocol.Message
	for n := range k.Frame {
		if err := k.c.Decode(k.Frame[:n:n], &m, &s); err == nil && k.Want.Type != protocol.MessageReply && k.Want.Type != protocol.MessageException {
			t.Errorf("%d of %d bytes decode", n, len(k.Frame))
		}
		if n < 4 || k.Unframed {
			continue
		}
		short := bytes.Clone(k.Frame[:n])
		binary.BigEndian.PutUint32(short, uint32(n-4))
		err := k.c.Decode(short, &m, &s)
		isCall := k.Want.Type == protocol.MessageCall || k.Want.Type == protocol.MessageOneway
		if err == nil && isCall && m.Type != protocol.MessageHeartbeat { // no length at all may be a heartbeat
			t.Errorf("a frame shortened to %d bytes decodes", n)
		}
		var e *protocol.Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("shortened to %d: %T is no *protocol.Error", n, err)
		}
	}
}

// size: a frame of exactly the bound passes, one above it does not, and neither do lengths from fantasy.
func (k *kit) size(t *testing.T) {
	var sc protocol.Scan
	if n, err := k.c.Split(&sc, k.Frame, len(k.Frame)); n != len(k.Frame) || err != nil {
		t.Errorf("Split with the bound at the frame's size = %d, %v", n, err)
	}
	tooLarge := func(buf []byte, max int) {
		t.Helper()
		var e *protocol.Error
		sc.Reset()
		if n, err := k.c.Split(&sc, buf, max); n != 0 || !errors.As(err, &e) || e.Code != protocol.CodeTooLarge {
			t.Errorf("Split(%x…, max %d) = %d, %v; want %v", buf[:4], max, n, err, protocol.CodeTooLarge)
		}
	}
	tooLarge(k.Frame, len(k.Frame)-1)
	if !k.Unframed {
		huge := bytes.Clone(k.Frame)
		binary.BigEndian.PutUint32(huge, 0x7FFFFFFF)
		tooLarge(huge, 0)
		tooLarge(huge, protocol.HardMaxFrame)
	}
}
