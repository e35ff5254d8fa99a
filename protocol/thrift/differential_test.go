package thrift

import (
	"bytes"
	"math/rand/v2"
	"testing"

	apache "github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// What Apache's library writes is walked to its end, and transcoded to exactly what Apache's library writes for the
// same values in the other protocol.
func TestApacheBodies(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var w protocol.Walker
	for range 3000 {
		want := randomNode(r, apache.STRUCT, r.IntN(6))
		bin, cmp := apacheStruct(t, protocol.Binary, &want), apacheStruct(t, protocol.Compact, &want)
		if err := protocol.WalkExact(protocol.Binary, bin, &w); err != nil {
			t.Fatalf("binary %x: %v", bin, err)
		}
		if err := protocol.WalkExact(protocol.Compact, cmp, &w); err != nil {
			t.Fatalf("compact %x: %v", cmp, err)
		}
		got, err := protocol.Transcode(nil, protocol.Binary, protocol.Compact, bin, 0)
		if err != nil || !bytes.Equal(got, cmp) {
			t.Fatalf("binary %x\nbecame  %x, %v\napache  %x", bin, got, err, cmp)
		}
		got, err = protocol.Transcode(nil, protocol.Compact, protocol.Binary, cmp, 0)
		if err != nil {
			t.Fatalf("compact %x: %v", cmp, err)
		}
		if tree, err := apacheRead(protocol.Binary, got); err != nil || !tree.equal(&want) {
			t.Fatalf("compact %x\nbecame  %x, which Apache reads as %+v, %v\nwant %+v", cmp, got, tree, err, want)
		}
	}
}

// Random damage: what the walk accepts, Apache's Skip accepts, and of the same length; what Skip accepts and the walk
// does not is one of the known differences.
func TestSkipDifferential(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 6000 {
		n := randomNode(r, apache.STRUCT, r.IntN(5))
		for _, p := range []protocol.Payload{protocol.Binary, protocol.Compact} {
			b := apacheStruct(t, p, &n)
			for range 1 + r.IntN(3) {
				b[r.IntN(len(b))] = byte(r.Uint32() >> r.IntN(8))
			}
			compareSkip(t, p, b)
		}
	}
}

func compareSkip(t *testing.T, p protocol.Payload, b []byte) {
	t.Helper()
	var w protocol.Walker
	n, err := protocol.Walk(p, b, &w)
	buf := apache.NewTMemoryBuffer()
	buf.Write(b)
	// The depth limits differ by what they count: leaves here, structs and containers there.
	apacheErr := apache.Skip(bg, apacheProtocol(p, buf), apache.STRUCT, 100)
	apacheN := len(b) - buf.Len()
	switch {
	case err == nil && apacheErr != nil:
		t.Fatalf("%v %x: walked %d bytes, Apache says %v", p, b, n, apacheErr)
	case err == nil && apacheN != n:
		t.Fatalf("%v %x: walked %d bytes, Apache %d", p, b, n, apacheN)
	case err != nil && apacheErr == nil && !stricter(err):
		t.Fatalf("%v %x: %v, but Apache skips %d bytes", p, b, err, apacheN)
	}
}

// stricter: the refusals that are ours alone, because Thrift's libraries do not agree about these bytes. Overlong
// varints, compact stop bytes with a delta, element types that no protocol defines, and depth.
func stricter(err error) bool {
	e, ok := err.(*protocol.Error)
	return ok && (e.Reason == "bad_varint" || e.Reason == "bad_type" || e.Reason == "depth")
}
