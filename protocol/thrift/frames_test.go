package thrift

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	apache "github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/codectest"
)

// golden reads a frame that was written by hand: hex digits in any grouping, # begins a comment.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".hex")
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		for _, f := range strings.Fields(line) {
			digits.WriteString(f)
		}
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b
}

// rich is a struct with a value of every kind.
func rich() *node {
	str := func(s string) node { return node{t: apache.STRING, str: s} }
	num := func(t apache.TType, v int64) node { return node{t: t, num: v} }
	inner := node{t: apache.STRUCT, ids: []int16{1, 100}, kids: []node{num(apache.BOOL, 1), str("inner")}}
	many := node{t: apache.LIST, vt: apache.I32}
	for i := range 20 {
		many.kids = append(many.kids, num(apache.I32, int64(i*i*i-500)))
	}
	return &node{t: apache.STRUCT, ids: []int16{1, 2, 3, 4, 5, 6, 7, 30, 29, 31, 32, 33, -1}, kids: []node{
		str("bob"), num(apache.BOOL, 0), num(apache.BYTE, -3), num(apache.I16, -300), num(apache.I32, 70000),
		num(apache.I64, -1<<40), num(apache.DOUBLE, 0x3FF8000000000000), inner, many,
		{t: apache.SET, vt: apache.BOOL, kids: []node{num(apache.BOOL, 1), num(apache.BOOL, 0)}},
		{t: apache.MAP, kt: apache.STRING, vt: apache.STRUCT, kids: []node{str("k"), inner, str("l"), inner}},
		{t: apache.MAP, kt: apache.I64, vt: apache.DOUBLE},
		{t: apache.UUID, str: "0123456789abcdef"},
	}}
}

// apacheFrame is a message as Apache's library sends it in this layout.
func apacheFrame(t testing.TB, w protocol.Wire, name string, typ apache.TMessageType, seq int32, body *node, headers map[string]string) []byte {
	t.Helper()
	sock := apache.NewTMemoryBuffer()
	conf := &apache.TConfiguration{TBinaryStrictWrite: new(!w.Lax)}
	var trans apache.TTransport = sock
	var p apache.TProtocol
	switch w.Framing {
	case protocol.FramedBinary, protocol.FramedLax, protocol.FramedCompact:
		trans = apache.NewTFramedTransportConf(sock, conf)
	case protocol.THeader:
		id := apache.THeaderProtocolBinary
		if w.Payload == protocol.Compact {
			id = apache.THeaderProtocolCompact
		}
		conf.THeaderProtocolID = &id
		if w.Zlib {
			conf.THeaderTransforms = []apache.THeaderTransformID{apache.TransformZlib}
		}
		h := apache.NewTHeaderProtocolConf(sock, conf)
		for k, v := range headers {
			h.SetWriteHeader(k, v)
		}
		p = h
	}
	if p == nil && w.Payload == protocol.Compact {
		p = apache.NewTCompactProtocolConf(trans, conf)
	} else if p == nil {
		p = apache.NewTBinaryProtocolConf(trans, conf)
	}
	if err := first(p.WriteMessageBegin(bg, name, typ, seq), body.write(p), p.WriteMessageEnd(bg), p.Flush(bg)); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(sock.Bytes())
}

// allWires are the layouts every sample is rewritten for.
func allWires() []codectest.Peer {
	peers := make([]codectest.Peer, 0, 8)
	for _, c := range Codecs() {
		p := codectest.Peer{Codec: c}
		switch f := c.Framing(); f {
		case protocol.THeader:
			p.Wires = []protocol.Wire{
				{Framing: f},
				{Framing: f, Payload: protocol.Binary},
				{Framing: f, Payload: protocol.Compact},
				{Framing: f, Payload: protocol.Binary, Zlib: true},
				{Framing: f, Payload: protocol.Compact, Zlib: true},
			}
		case protocol.TTHeader:
			p.Wires = []protocol.Wire{
				{Framing: f},
				{Framing: f, Payload: protocol.Binary},
				{Framing: f, Payload: protocol.Compact},
				{Framing: f, Payload: protocol.Binary, Inner: true},
			}
		case protocol.UnframedCompact, protocol.FramedCompact:
			p.Wires = []protocol.Wire{{Framing: f, Payload: protocol.Compact}}
		default:
			lax := f == protocol.UnframedLax || f == protocol.FramedLax
			p.Wires = []protocol.Wire{{Framing: f, Payload: protocol.Binary, Lax: lax}}
		}
		peers = append(peers, p)
	}
	return peers
}

// apacheSamples are one call, reply, exception and oneway in this layout, written by Apache's library.
func apacheSamples(t *testing.T, w protocol.Wire) []codectest.Sample {
	var samples []codectest.Sample
	body := apacheStruct(t, w.Payload, rich())
	add := func(what, name string, typ apache.TMessageType, seq int32, service, method string) {
		s := codectest.Sample{
			Name:      what,
			Frame:     apacheFrame(t, w, name, typ, seq, rich(), nil),
			Unframed:  w.Framing == protocol.UnframedBinary || w.Framing == protocol.UnframedCompact || w.Framing == protocol.UnframedLax,
			Rewritten: w.Zlib || service != "",
			Want: codectest.Want{
				Type: protocol.MessageType(typ), Payload: w.Payload, Seq: seq, MsgSeq: seq, Method: method,
				Service: service, Prefixed: service != "", Body: body, Zlib: w.Zlib, Lax: w.Lax,
			},
		}
		samples = append(samples, s)
	}
	add("call", "echo", apache.CALL, 0, "", "echo")
	add("prefixed", "demo.Echo:echo", apache.CALL, 5, "demo.Echo", "echo")
	add("oneway", "log", apache.ONEWAY, 300, "", "log")
	add("reply", "echo", apache.REPLY, -2, "", "echo")
	add("exception", "echo", apache.EXCEPTION, 1<<31-1, "", "echo")
	return samples
}

func TestConformance(t *testing.T) {
	for _, peer := range allWires() {
		for _, w := range peer.Wires {
			if w.Payload == protocol.PayloadAny || w.Framing == protocol.TTHeader {
				continue // Apache has no TTHeader: TestGoldenFrames holds those
			}
			t.Run(codectest.WireName(w), func(t *testing.T) {
				codectest.Run(t, peer.Codec, apacheSamples(t, w), allWires()...)
			})
		}
	}
}
