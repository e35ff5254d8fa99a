package thrift

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	apache "github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// node is one value as Apache's library writes and reads it: the judge of what our bytes mean.
type node struct {
	t      apache.TType
	num    int64 // bool, byte, i16, i32, i64; the bits of a double
	str    string
	ids    []int16 // of a struct's fields
	kt, vt apache.TType
	kids   []node // fields, elements, or keys and values in turn
}

var (
	scalars = []apache.TType{apache.BOOL, apache.BYTE, apache.DOUBLE, apache.I16, apache.I32, apache.I64, apache.STRING, apache.UUID}
	nested  = append([]apache.TType{apache.STRUCT, apache.MAP, apache.SET, apache.LIST}, scalars...)
)

func randomType(r *rand.Rand, depth int) apache.TType {
	if depth <= 0 {
		return scalars[r.IntN(len(scalars))]
	}
	return nested[r.IntN(len(nested))]
}

func randomNode(r *rand.Rand, t apache.TType, depth int) node {
	n := node{t: t}
	switch t {
	case apache.BOOL:
		n.num = int64(r.IntN(2))
	case apache.BYTE:
		n.num = int64(int8(r.Uint32()))
	case apache.I16:
		n.num = int64(int16(r.Uint32() >> r.IntN(32)))
	case apache.I32:
		n.num = int64(int32(r.Uint32() >> r.IntN(32)))
	case apache.I64:
		n.num = int64(r.Uint64() >> r.IntN(64))
	case apache.DOUBLE:
		n.num = int64(math.Float64bits(r.NormFloat64()))
	case apache.STRING:
		n.str = string(make([]byte, r.IntN(200)*r.IntN(2)+r.IntN(20)))
	case apache.UUID:
		n.str = fmt.Sprintf("%016x", r.Uint64())
	case apache.STRUCT:
		id := int16(0)
		for range r.IntN(6) {
			id += int16(r.IntN(20) + 1 - 3*r.IntN(2)) // also ids that go back
			n.ids = append(n.ids, id)
			n.kids = append(n.kids, randomNode(r, randomType(r, depth-1), depth-1))
		}
	case apache.LIST, apache.SET:
		n.vt = randomType(r, depth-1)
		for range r.IntN(6) * (1 + 4*r.IntN(2)) {
			n.kids = append(n.kids, randomNode(r, n.vt, depth-1))
		}
	case apache.MAP:
		n.kt, n.vt = randomType(r, depth-1), randomType(r, depth-1)
		for range r.IntN(5) {
			n.kids = append(n.kids, randomNode(r, n.kt, depth-1), randomNode(r, n.vt, depth-1))
		}
	}
	return n
}

// equal: empty maps may have lost their types, and an empty list of an unknown type may have got one.
func (n *node) equal(o *node) bool {
	if n.t != o.t || n.num != o.num || n.str != o.str || len(n.kids) != len(o.kids) || len(n.ids) != len(o.ids) {
		return false
	}
	if len(n.kids) > 0 && (n.kt != o.kt || n.vt != o.vt) {
		return false
	}
	for i := range n.ids {
		if n.ids[i] != o.ids[i] {
			return false
		}
	}
	for i := range n.kids {
		if !n.kids[i].equal(&o.kids[i]) {
			return false
		}
	}
	return true
}

var bg = context.Background()

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *node) write(p apache.TProtocol) error {
	switch n.t {
	case apache.BOOL:
		return p.WriteBool(bg, n.num != 0)
	case apache.BYTE:
		return p.WriteByte(bg, int8(n.num))
	case apache.I16:
		return p.WriteI16(bg, int16(n.num))
	case apache.I32:
		return p.WriteI32(bg, int32(n.num))
	case apache.I64:
		return p.WriteI64(bg, n.num)
	case apache.DOUBLE:
		return p.WriteDouble(bg, math.Float64frombits(uint64(n.num)))
	case apache.STRING:
		return p.WriteString(bg, n.str)
	case apache.UUID:
		return p.WriteUUID(bg, apache.Tuuid([]byte(n.str)))
	case apache.STRUCT:
		return n.writeStruct(p)
	case apache.MAP:
		return first(p.WriteMapBegin(bg, n.kt, n.vt, len(n.kids)/2), n.writeKids(p), p.WriteMapEnd(bg))
	case apache.SET:
		return first(p.WriteSetBegin(bg, n.vt, len(n.kids)), n.writeKids(p), p.WriteSetEnd(bg))
	}
	return first(p.WriteListBegin(bg, n.vt, len(n.kids)), n.writeKids(p), p.WriteListEnd(bg))
}

func (n *node) writeKids(p apache.TProtocol) error {
	for i := range n.kids {
		if err := n.kids[i].write(p); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) writeStruct(p apache.TProtocol) error {
	if err := p.WriteStructBegin(bg, ""); err != nil {
		return err
	}
	for i := range n.kids {
		k := &n.kids[i]
		if err := first(p.WriteFieldBegin(bg, "", k.t, n.ids[i]), k.write(p), p.WriteFieldEnd(bg)); err != nil {
			return err
		}
	}
	return first(p.WriteFieldStop(bg), p.WriteStructEnd(bg))
}

func readNode(p apache.TProtocol, t apache.TType) (n node, err error) {
	n.t = t
	var b bool
	var i8 int8
	var i16 int16
	var i32 int32
	var f float64
	var u apache.Tuuid
	switch t {
	case apache.BOOL:
		if b, err = p.ReadBool(bg); b {
			n.num = 1
		}
	case apache.BYTE:
		i8, err = p.ReadByte(bg)
		n.num = int64(i8)
	case apache.I16:
		i16, err = p.ReadI16(bg)
		n.num = int64(i16)
	case apache.I32:
		i32, err = p.ReadI32(bg)
		n.num = int64(i32)
	case apache.I64:
		n.num, err = p.ReadI64(bg)
	case apache.DOUBLE:
		f, err = p.ReadDouble(bg)
		n.num = int64(math.Float64bits(f))
	case apache.STRING:
		n.str, err = p.ReadString(bg)
	case apache.UUID:
		u, err = p.ReadUUID(bg)
		n.str = string(u[:])
	default:
		return n, n.readNested(p)
	}
	return n, err
}

func (n *node) readNested(p apache.TProtocol) (err error) {
	size := 0
	switch n.t {
	case apache.STRUCT:
		return n.readStruct(p)
	case apache.MAP:
		n.kt, n.vt, size, err = p.ReadMapBegin(bg)
		size *= 2
	case apache.SET:
		n.vt, size, err = p.ReadSetBegin(bg)
	case apache.LIST:
		n.vt, size, err = p.ReadListBegin(bg)
	default:
		return fmt.Errorf("type %d", n.t)
	}
	for i := 0; i < size && err == nil; i++ {
		t := n.vt
		if n.t == apache.MAP && i%2 == 0 {
			t = n.kt
		}
		var k node
		k, err = readNode(p, t)
		n.kids = append(n.kids, k)
	}
	return err
}

func (n *node) readStruct(p apache.TProtocol) error {
	if _, err := p.ReadStructBegin(bg); err != nil {
		return err
	}
	for {
		_, t, id, err := p.ReadFieldBegin(bg)
		if err != nil {
			return err
		}
		if t == apache.STOP {
			return p.ReadStructEnd(bg)
		}
		k, err := readNode(p, t)
		if err != nil {
			return err
		}
		n.ids, n.kids = append(n.ids, id), append(n.kids, k)
	}
}

func apacheProtocol(p protocol.Payload, t apache.TTransport) apache.TProtocol {
	if p == protocol.Compact {
		return apache.NewTCompactProtocolConf(t, nil)
	}
	return apache.NewTBinaryProtocolConf(t, nil)
}

// apacheStruct is a struct as Apache's library writes it.
func apacheStruct(t testing.TB, p protocol.Payload, n *node) []byte {
	t.Helper()
	b := apache.NewTMemoryBuffer()
	if err := n.write(apacheProtocol(p, b)); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b.Bytes())
}

// apacheRead is a struct as Apache's library reads it; what it leaves over is an error.
func apacheRead(p protocol.Payload, body []byte) (node, error) {
	b := apache.NewTMemoryBuffer()
	b.Write(body)
	n, err := readNode(apacheProtocol(p, b), apache.STRUCT)
	if err == nil && b.Len() > 0 {
		err = fmt.Errorf("%d bytes left over", b.Len())
	}
	return n, err
}
