package call

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
)

// copyStruct copies a struct from one of Apache's protocols to another, whatever is in it.
func copyStruct(ctx context.Context, in, out thrift.TProtocol) error {
	if _, err := in.ReadStructBegin(ctx); err != nil {
		return err
	}
	if err := out.WriteStructBegin(ctx, ""); err != nil {
		return err
	}
	for {
		_, t, id, err := in.ReadFieldBegin(ctx)
		if err != nil {
			return err
		}
		if t == thrift.STOP {
			break
		}
		err = first(
			func() error { return out.WriteFieldBegin(ctx, "", t, id) },
			func() error { return copyValue(ctx, t, in, out) },
			func() error { return in.ReadFieldEnd(ctx) },
			func() error { return out.WriteFieldEnd(ctx) })
		if err != nil {
			return err
		}
	}
	return first(
		func() error { return out.WriteFieldStop(ctx) },
		func() error { return in.ReadStructEnd(ctx) },
		func() error { return out.WriteStructEnd(ctx) },
		func() error { return out.Flush(ctx) })
}

func first(steps ...func() error) error {
	for _, s := range steps {
		if err := s(); err != nil {
			return err
		}
	}
	return nil
}

// carried reads with one function and writes with the other.
func carried[T any](ctx context.Context, read func(context.Context) (T, error), write func(context.Context, T) error) error {
	v, err := read(ctx)
	if err != nil {
		return err
	}
	return write(ctx, v)
}

func copyValue(ctx context.Context, t thrift.TType, in, out thrift.TProtocol) error {
	switch t {
	case thrift.BOOL:
		return carried(ctx, in.ReadBool, out.WriteBool)
	case thrift.BYTE:
		return carried(ctx, in.ReadByte, out.WriteByte)
	case thrift.I16:
		return carried(ctx, in.ReadI16, out.WriteI16)
	case thrift.I32:
		return carried(ctx, in.ReadI32, out.WriteI32)
	case thrift.I64:
		return carried(ctx, in.ReadI64, out.WriteI64)
	case thrift.DOUBLE:
		return carried(ctx, in.ReadDouble, out.WriteDouble)
	case thrift.STRING:
		return carried(ctx, in.ReadString, out.WriteString)
	case thrift.UUID:
		return carried(ctx, in.ReadUUID, out.WriteUUID)
	case thrift.STRUCT:
		return copyStruct(ctx, in, out)
	case thrift.MAP:
		k, v, n, err := in.ReadMapBegin(ctx)
		if err == nil {
			err = out.WriteMapBegin(ctx, k, v, n)
		}
		for i := 0; i < n && err == nil; i++ {
			err = first(func() error { return copyValue(ctx, k, in, out) }, func() error { return copyValue(ctx, v, in, out) })
		}
		return first(func() error { return err }, func() error { return in.ReadMapEnd(ctx) }, func() error { return out.WriteMapEnd(ctx) })
	case thrift.LIST, thrift.SET:
		begin, end, wbegin, wend := in.ReadListBegin, in.ReadListEnd, out.WriteListBegin, out.WriteListEnd
		if t == thrift.SET {
			begin, end, wbegin, wend = in.ReadSetBegin, in.ReadSetEnd, out.WriteSetBegin, out.WriteSetEnd
		}
		e, n, err := begin(ctx)
		if err == nil {
			err = wbegin(ctx, e, n)
		}
		for i := 0; i < n && err == nil; i++ {
			err = copyValue(ctx, e, in, out)
		}
		return first(func() error { return err }, func() error { return end(ctx) }, func() error { return wend(ctx) })
	}
	return fmt.Errorf("type %d", t)
}

func buffer(b []byte) *thrift.TMemoryBuffer {
	m := thrift.NewTMemoryBuffer()
	m.Write(b)
	return m
}

// apacheJSON is what TJSONProtocol writes for a TBinary struct.
func apacheJSON(t testing.TB, body []byte) []byte {
	t.Helper()
	out := thrift.NewTMemoryBuffer()
	if err := copyStruct(t.Context(), thrift.NewTBinaryProtocolConf(buffer(body), nil), thrift.NewTJSONProtocol(out)); err != nil {
		t.Fatalf("Apache's TJSONProtocol: %v", err)
	}
	return out.Bytes()
}

// apacheBinary is what TJSONProtocol reads, as TBinary.
func apacheBinary(t testing.TB, text []byte) []byte {
	t.Helper()
	out := thrift.NewTMemoryBuffer()
	if err := copyStruct(t.Context(), thrift.NewTJSONProtocol(buffer(text)), thrift.NewTBinaryProtocolConf(out, nil)); err != nil {
		t.Fatalf("Apache's TJSONProtocol can't read %s: %v", text, err)
	}
	return out.Bytes()
}

// tree writes random structs by Apache's TBinaryProtocol.
type tree struct {
	r  *rand.Rand
	p  thrift.TProtocol
	id int16
}

var leaves = []thrift.TType{thrift.BOOL, thrift.BYTE, thrift.DOUBLE, thrift.I16, thrift.I32, thrift.I64, thrift.STRING, thrift.UUID}

func (tr *tree) typ(depth int) thrift.TType {
	if depth > 0 && tr.r.IntN(2) == 0 {
		return []thrift.TType{thrift.STRUCT, thrift.MAP, thrift.SET, thrift.LIST}[tr.r.IntN(4)]
	}
	return leaves[tr.r.IntN(len(leaves))]
}

func (tr *tree) record(ctx context.Context, depth int) error {
	for range tr.r.IntN(5) {
		t := tr.typ(depth)
		tr.id += int16(1 + tr.r.IntN(100)) // twice the same id in a struct is not for JSON
		if err := tr.p.WriteFieldBegin(ctx, "", t, tr.id); err != nil {
			return err
		}
		if err := tr.value(ctx, t, depth-1, 0); err != nil {
			return err
		}
	}
	return tr.p.WriteFieldStop(ctx)
}

// value writes a value; nth makes the keys of a map differ.
func (tr *tree) value(ctx context.Context, t thrift.TType, depth, nth int) error {
	r := tr.r
	switch t {
	case thrift.BOOL:
		return tr.p.WriteBool(ctx, nth%2 == 1)
	case thrift.BYTE:
		return tr.p.WriteByte(ctx, int8(r.IntN(32)*8-128+nth))
	case thrift.I16:
		return tr.p.WriteI16(ctx, int16(r.Uint32()&^7)+int16(nth))
	case thrift.I32:
		return tr.p.WriteI32(ctx, int32(r.Uint32()&^7)+int32(nth))
	case thrift.I64:
		return tr.p.WriteI64(ctx, int64(r.Uint64()&^7)+int64(nth))
	case thrift.DOUBLE:
		special := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, 1e300, 5e-324, 3}
		if d := r.NormFloat64(); d > 0 {
			return tr.p.WriteDouble(ctx, d+float64(nth))
		}
		return tr.p.WriteDouble(ctx, special[(nth+r.IntN(len(special)))%len(special)])
	case thrift.STRING:
		return tr.p.WriteString(ctx, []string{"", "bob", "\"\\/\b\n\t\x01", "žluť 日本 \U0001F514", "\u2028</script>"}[(r.IntN(5)+nth)%5])
	case thrift.UUID:
		var u thrift.Tuuid
		for i := range u {
			u[i] = byte(r.Uint32())
		}
		return tr.p.WriteUUID(ctx, u)
	case thrift.STRUCT:
		return tr.record(ctx, depth)
	case thrift.MAP:
		k, v, n := leaves[r.IntN(len(leaves)-1)], tr.typ(depth), r.IntN(3) // no UUIDs for keys: two might be the same
		err := tr.p.WriteMapBegin(ctx, k, v, n)
		draw := r.Uint64()
		for i := 0; i < n && err == nil; i++ {
			key := &tree{r: rand.New(rand.NewPCG(draw, 2)), p: tr.p} // the same draw for every key: nth makes the difference
			err = first(func() error { return key.value(ctx, k, 0, i) }, func() error { return tr.value(ctx, v, depth-1, i) })
		}
		return err
	default:
		e, n := tr.typ(depth), r.IntN(4)
		err := tr.p.WriteListBegin(ctx, e, n)
		for i := 0; i < n && err == nil; i++ {
			err = tr.value(ctx, e, depth-1, i)
		}
		return err
	}
}

func randomBody(t testing.TB, seed uint64) []byte {
	out := thrift.NewTMemoryBuffer()
	tr := &tree{r: rand.New(rand.NewPCG(seed, 1)), p: thrift.NewTBinaryProtocolConf(out, nil)}
	if err := tr.record(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// parsed makes JSON comparable.
func parsed(t testing.TB, b []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return v
}

// TestAsTJSONProtocol: what we write Apache writes and reads, and the other way round.
func TestAsTJSONProtocol(t *testing.T) {
	for seed := range uint64(2000) {
		body := randomBody(t, seed)
		ours, err := decodeTyped(body)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		theirs := apacheJSON(t, body)
		if !reflect.DeepEqual(parsed(t, ours), parsed(t, theirs)) {
			t.Fatalf("seed %d: ours\n%s\nApache's\n%s", seed, ours, theirs)
		}
		for from, text := range map[string][]byte{"ours": ours, "Apache's": theirs} {
			back, err := encodeTyped(text, 1<<20)
			if err != nil {
				t.Fatalf("seed %d: reading %s: %v\n%s", seed, from, err, text)
			}
			if !bytes.Equal(back, body) {
				t.Fatalf("seed %d: from %s\n%x\nwant\n%x\n%s", seed, from, back, body, text)
			}
		}
		if back := apacheBinary(t, ours); !bytes.Equal(back, body) {
			t.Fatalf("seed %d: Apache reads ours as\n%x\nwant\n%x\n%s", seed, back, body, ours)
		}
	}
}
