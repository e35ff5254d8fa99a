package protocol

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What is refused, and by which word.
func TestWalkRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		p    Payload
		hex  string
		want string
	}{
		{"empty", Binary, "", "short"},
		{"no stop", Binary, "03 0001 07", "short"},
		{"trailing", Binary, "00 00", "trailing_bytes"},
		{"string past frame", Binary, "0b 0001 00000005 626f62 00", "string_past_frame"},
		{"huge string", Binary, "0b 0001 7fffffff 626f62 00", "string_past_frame"},
		{"negative string", Binary, "0b 0001 ffffffff 00", "negative_size"},
		{"negative list", Binary, "0f 0001 08 80000000 00", "negative_size"},
		{"negative map", Binary, "0d 0001 0b 0b 80000000 00", "negative_size"},
		{"list past frame", Binary, "0f 0001 08 00000002 00000001 00", "container_past_frame"},
		{"huge list of structs", Binary, "0f 0001 0c 7fffffff 00 00", "container_past_frame"},
		{"huge map", Binary, "0d 0001 0b 0b 7fffffff 00", "container_past_frame"},
		{"void field", Binary, "01 0001 00", "bad_type"},
		{"type 5", Binary, "05 0001 00", "bad_type"},
		{"type 17", Binary, "11 0001 00", "bad_type"},
		{"list of void", Binary, "0f 0001 01 00000001 00", "bad_type"},
		{"map to type 9", Binary, "0d 0001 08 09 00000001 0000000000000000 00", "bad_type"},
		{"uuid past frame", Binary, "10 0001 0011223344", "short"},
		{"empty", Compact, "", "short"},
		{"trailing", Compact, "00 00", "trailing_bytes"},
		{"string past frame", Compact, "18 04 626f62", "string_past_frame"},
		{"negative string", Compact, "18 ffffffff0f 00", "negative_size"},
		{"overlong size", Compact, "18 8080808080 01 00", "bad_varint"},
		{"size of 33 bits", Compact, "18 8080808010 00", "bad_varint"},
		{"i64 of 65 bits", Compact, "16 80808080808080808002 00", "bad_varint"},
		{"stop with a delta", Compact, "10 00", "bad_type"},
		{"type 14", Compact, "1e 00", "bad_type"},
		{"list of type 15", Compact, "19 0f 00", "bad_type"},
		{"list of stop", Compact, "19 10 00 00", "bad_type"},
		{"map to type 14", Compact, "1b 01 8e 00 00 00", "bad_type"},
		{"huge list", Compact, "19 fc ffffffff07 00", "container_past_frame"},
		{"negative list", Compact, "19 fc ffffffff0f 00", "negative_size"},
		{"negative map", Compact, "1b ffffffff0f 88 00", "negative_size"},
		{"doubles past frame", Compact, "19 27 0011223344556677 00", "container_past_frame"},
	} {
		t.Run(c.p.String()+"/"+c.name, func(t *testing.T) {
			var w Walker
			err := WalkExact(c.p, unhex(t, c.hex), &w)
			var e *Error
			if !errors.As(err, &e) || e.Reason != c.want || e.Code != CodeProtocolError {
				t.Errorf("%s: %v, want %s", c.hex, err, c.want)
			}
			to := Binary + Compact - c.p
			if out, err := Transcode([]byte("x"), c.p, to, unhex(t, c.hex), 0); err == nil || string(out) != "x" {
				t.Errorf("%s transcodes to %x, %v", c.hex, out, err)
			}
		})
	}
}

// What is accepted although it looks odd.
func TestWalkAccepts(t *testing.T) {
	for _, c := range []struct {
		name, bin, cmp string // either may be the one that is walked; both are equal values
	}{
		{"nothing", "00", "00"},
		{"empty list without a type", "0f 0001 0b 00000000 00", "19 08 00"},
		{"empty map", "0d 0001 0b 0b 00000000 00", "1b 00 00"},
		{"true", "02 0001 01 00", "11 00"},
		{"false", "02 0001 00 00", "12 00"},
		{"booleans in a set", "0e 0001 02 00000002 01 00 00", "1a 21 01 02 00"},
		{"an id that goes back", "03 0005 01 03 0004 02 00", "53 01 03 08 02 00"},
		{"a negative id", "03 ffff 01 00", "03 01 01 00"},
		{"uuid", "10 0001 000102030405060708090a0b0c0d0e0f 00", "1d 000102030405060708090a0b0c0d0e0f 00"},
		{"double", "04 0001 3ff8000000000000 00", "17 000000000000f83f 00"},
		{"fifteen bytes", "0f 0001 03 0000000f 000102030405060708090a0b0c0d0e 00", "19 f3 0f 000102030405060708090a0b0c0d0e 00"},
		{"map of lists", "0d 0001 06 0f 00000001 0002 08 00000001 ffffffff 00", "1b 01 49 04 15 01 00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var w Walker
			bin, cmp := unhex(t, c.bin), unhex(t, c.cmp)
			if err := WalkExact(Binary, bin, &w); err != nil {
				t.Errorf("binary: %v", err)
			}
			if err := WalkExact(Compact, cmp, &w); err != nil {
				t.Errorf("compact: %v", err)
			}
			if out, err := Transcode(nil, Binary, Compact, bin, 0); err != nil || !bytes.Equal(out, cmp) {
				t.Errorf("binary became %x, %v; want %x", out, err, cmp)
			}
			if out, err := Transcode(nil, Compact, Binary, cmp, 0); err != nil || !bytes.Equal(out, bin) {
				t.Errorf("compact became %x, %v; want %x", out, err, bin)
			}
		})
	}
	// Compact booleans in containers: type 1 or 2, and everything but 1 is false.
	out, err := Transcode(nil, Compact, Binary, unhex(t, "1a 32 01 00 07 00"), 0)
	if want := unhex(t, "0e 0001 02 00000003 01 00 00 00"); err != nil || !bytes.Equal(out, want) {
		t.Errorf("got %x, %v; want %x", out, err, want)
	}
	// An empty list keeps no type that the other protocol does not have.
	if out, err := Transcode(nil, Binary, Compact, unhex(t, "0f 0001 00 00000000 00"), 0); err != nil || !bytes.Equal(out, unhex(t, "19 08 00")) {
		t.Errorf("got %x, %v", out, err)
	}
}

// deep returns depth structs in each other, the outermost included, around inner.
func deep(p Payload, depth int, inner []byte) []byte {
	open := []byte{binStruct, 0, 1}
	if p == Compact {
		open = []byte{1<<4 | cmpStruct}
	}
	b := bytes.Repeat(open, depth-1)
	return append(append(b, inner...), make([]byte, depth)...)
}

func TestDepth(t *testing.T) {
	list := map[Payload][]byte{Binary: {binList, 0, 1, binI32, 0, 0, 0, 0}, Compact: {1<<4 | cmpList, cmpI32}}
	bytesList := map[Payload][]byte{Binary: {binList, 0, 1, binByte, 0, 0, 0, 1, 7}, Compact: {1<<4 | cmpList, 1<<4 | cmpByte, 7}}
	for _, p := range []Payload{Binary, Compact} {
		to := Binary + Compact - p
		var w Walker
		for _, c := range []struct {
			depth int
			inner []byte
			ok    bool
		}{{64, nil, true}, {65, nil, false}, {63, list[p], true}, {64, list[p], false}, {63, bytesList[p], true}, {64, bytesList[p], false}, {100000, nil, false}} {
			b := deep(p, c.depth, c.inner)
			if err := WalkExact(p, b, &w); (err == nil) != c.ok || err != nil && err != error(errDepth) {
				t.Errorf("%v: depth %d with %x: %v", p, c.depth, c.inner, err)
			}
			if _, err := Transcode(nil, p, to, b, 0); (err == nil) != c.ok || err != nil && err != error(errDepth) {
				t.Errorf("%v: transcoding depth %d with %x: %v", p, c.depth, c.inner, err)
			}
		}
	}
}

// The output is counted as it grows: eight times the input is possible, and not one byte above the bound.
func TestTranscodeBound(t *testing.T) {
	body := append(append(unhex(t, "19 f6 e807"), make([]byte, 1000)...), 0) // list<i64>, 1000 zeros
	const size = 3 + 5 + 8000 + 1
	out, err := Transcode([]byte("x"), Compact, Binary, body, size)
	if err != nil || len(out) != 1+size {
		t.Fatalf("%d bytes, %v", len(out), err)
	}
	if out, err = Transcode([]byte("x"), Compact, Binary, body, size-1); err != error(errTooLarge) || string(out) != "x" {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	if _, err = Transcode(nil, Binary, Binary, out, 0); err != nil {
		t.Error(err)
	}
	if _, err = Transcode(nil, Binary, Binary, body, len(body)-1); err != error(errTooLarge) {
		t.Errorf("a copy above the bound: %v", err)
	}
}

// A walk in pieces looks at every token once: what it passed may be overwritten.
func TestResumeForgets(t *testing.T) {
	body := unhex(t, "0b 0001 00000003 626f62 0f 0002 0c 00000002 03 0001 07 00 0d 0001 0b 08 00000001 00000001 61 00000009 00 0a 0003 0000000000000001 00")
	var w Walker
	b := make([]byte, 0, len(body))
	pos := 0
	for i, c := range body {
		b = append(b, c)
		next, done, need, err := w.Resume(Binary, b, pos)
		if err != nil || done != (i == len(body)-1) || !done && need <= len(b) {
			t.Fatalf("after %d bytes: %d, %t, %d, %v", len(b), next, done, need, err)
		}
		clear(b[pos:next])
		pos = next
	}
	if pos != len(body) {
		t.Errorf("ended at %d of %d", pos, len(body))
	}
}

func TestWalkAllocates(t *testing.T) {
	var w Walker
	good, bad := unhex(t, "0f 0001 0b 00000002 00000001 61 00000001 62 00"), unhex(t, "0b 0001 7fffffff 00")
	if n := testing.AllocsPerRun(100, func() {
		if WalkExact(Binary, good, &w) != nil || WalkExact(Binary, bad, &w) == nil {
			t.Fail()
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAppException(t *testing.T) {
	for _, p := range []Payload{Binary, Compact} {
		msg, typ, ok := AppException(AppendAppException(nil, p, "why", -7), p)
		if string(msg) != "why" || typ != -7 || !ok {
			t.Errorf("%v: %q %d %t", p, msg, typ, ok)
		}
	}
	for _, c := range []struct {
		p   Payload
		hex string
		msg string
		typ int32
		ok  bool
	}{
		{Binary, "08 0002 00000006 02 0003 01 0b 0001 00000002 6869 00", "hi", 6, true},
		{Compact, "25 0c 11 0c 0009 18 04 02 6869 00", "", 0, false},
		{Compact, "25 0c 11 1c 00 08 02 02 6869 00", "hi", 6, true},
		{Binary, "00", "", 0, true},
		{Binary, "08 0001 00000006 0b 0002 00000000 00", "", 0, true},
		{Binary, "0b 0001 00000009 6869 00", "", 0, false},
	} {
		msg, typ, ok := AppException(unhex(t, c.hex), c.p)
		if string(msg) != c.msg || typ != c.typ || ok != c.ok {
			t.Errorf("%v %s: %q %d %t", c.p, c.hex, msg, typ, ok)
		}
	}
}

func benchBodies() map[string][]byte {
	one := append([]byte{binString, 0, 1, 0, 0, 0, 100}, make([]byte, 101)...)
	var twenty []byte
	for i := range 20 {
		switch i % 4 {
		case 0:
			twenty = append(append(twenty, binString, 0, byte(i), 0, 0, 0, 10), make([]byte, 10)...)
		case 1:
			twenty = append(append(twenty, binI64, 0, byte(i)), make([]byte, 8)...)
		case 2:
			twenty = append(append(twenty, binList, 0, byte(i), binI32, 0, 0, 0, 4), make([]byte, 16)...)
		case 3:
			twenty = append(twenty, binStruct, 0, byte(i), binBool, 0, 1, 1, 0)
		}
	}
	return map[string][]byte{"108-byte-string": one, "20-fields": append(twenty, 0)}
}

func BenchmarkWalk(b *testing.B) {
	for name, bin := range benchBodies() {
		cmp, err := Transcode(nil, Binary, Compact, bin, 0)
		if err != nil {
			b.Fatal(err)
		}
		for p, body := range map[Payload][]byte{Binary: bin, Compact: cmp} {
			b.Run(p.String()+"/"+name, func(b *testing.B) {
				var w Walker
				for b.Loop() {
					if WalkExact(p, body, &w) != nil {
						b.Fatal("refused")
					}
				}
			})
		}
	}
}
