package thrift

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/bellhop-mesh/bellhop/protocol"
)

func codec(t testing.TB, f protocol.Framing) protocol.Codec {
	t.Helper()
	for _, c := range Codecs() {
		if c.Framing() == f {
			return c
		}
	}
	t.Fatalf("no codec for %v", f)
	return nil
}

// A framed call and its reply are copied with nothing but the sequence changed.
func TestFramedBinaryPatch(t *testing.T) {
	c := codec(t, protocol.FramedBinary)
	call, _ := hex.DecodeString("0000001f" + "80010001" + "00000004" + "6563686f" + "00000000" + "0b0001" + "00000003" + "626f62" + "00")
	binarySize(call)
	var sc protocol.Scan
	n, err := c.Split(&sc, call, 0)
	if err != nil || n != len(call) {
		t.Fatalf("Split = %d, %v", n, err)
	}
	var m protocol.Message
	var s protocol.Scratch
	if err := c.Decode(call, &m, &s); err != nil {
		t.Fatal(err)
	}
	out, err := c.AppendCall(nil, &m, protocol.Wire{Framing: protocol.FramedBinary}, 0x01020304, &s)
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Clone(call)
	copy(want[16:], []byte{1, 2, 3, 4})
	if !bytes.Equal(out, want) {
		t.Errorf("got  %x\nwant %x", out, want)
	}
}

func binarySize(frame []byte) { frame[3] = byte(len(frame) - 4) }
