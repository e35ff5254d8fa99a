package protocol

import (
	"bytes"
	"errors"
	"testing"
)

func seedBodies(f *testing.F, p Payload) {
	for _, bin := range benchBodies() {
		addBody(f, p, bin)
	}
	for _, s := range []string{
		"00", "0d 0001 0b 0b 00000000 00", "0e 0001 02 00000002 01 00 00", "03 ffff 01 00", "10 0001 000102030405060708090a0b0c0d0e0f 00",
		"0f 0001 0d 00000001 08 0c 00000001 00000007 0b 0005 00000001 61 00 00", "0b 0001 7fffffff 00", "0f 0001 0c ffffffff",
	} {
		addBody(f, p, unhex(f, s))
	}
	f.Add(deep(p, 65, nil))
}

func addBody(f *testing.F, p Payload, bin []byte) {
	if p == Compact {
		cmp, err := Transcode(nil, Binary, Compact, bin, 0)
		if err != nil {
			return
		}
		bin = cmp
	}
	f.Add(bin)
}

func FuzzWalkBinary(f *testing.F) {
	seedBodies(f, Binary)
	f.Fuzz(func(t *testing.T, b []byte) {
		checkWalk(t, Binary, b)
		checkStream(t, Binary, b)
	})
}

func FuzzWalkCompact(f *testing.F) {
	seedBodies(f, Compact)
	f.Fuzz(func(t *testing.T, b []byte) {
		checkWalk(t, Compact, b)
		checkStream(t, Compact, b)
	})
}

// checkStream: a body that comes in pieces of any size is taken and refused just as in one piece.
func checkStream(t *testing.T, p Payload, b []byte) {
	var w Walker
	want := WalkExact(p, b, &w)
	for _, piece := range []int{1, 2, 3, 7, 19, 63, 64, 65, len(b)} {
		if piece == 0 {
			continue
		}
		var s StreamWalker
		s.Begin(p, len(b))
		var err error
		for rest := b; len(rest) > 0 && err == nil; {
			n := min(piece, len(rest))
			err = s.Feed(rest[:n:n])
			rest = rest[n:]
		}
		if (err == nil) != (want == nil) && len(b) > 0 {
			t.Fatalf("in pieces of %d: %v; in one: %v", piece, err, want)
		}
	}
}

// checkWalk: a walk ends inside the bytes, needs all it passed, and comes to the same result in pieces; a struct's end
// does not depend on what follows.
func checkWalk(t *testing.T, p Payload, b []byte) {
	var w Walker
	b = b[:len(b):len(b)]
	n, err := Walk(p, b, &w)
	var e *Error
	switch {
	case err == nil && (n <= 0 || n > len(b)):
		t.Fatalf("walked %d of %d bytes", n, len(b))
	case err != nil && (n != 0 || !errors.As(err, &e) || e.Code != CodeProtocolError):
		t.Fatalf("%d, %v", n, err)
	}
	if err == nil {
		if again, err := Walk(p, b[:n:n], &w); again != n || err != nil {
			t.Fatalf("alone the struct has %d bytes, not %d: %v", again, n, err)
		}
		if _, err := Walk(p, b[:n-1:n-1], &w); err != ErrShort {
			t.Fatalf("without its last byte: %v", err)
		}
	}
	w.Reset()
	pos, done, need := 0, false, 0
	for i := 0; i <= len(b) && !done; i++ {
		var pieceErr error
		seen := pos
		pos, done, need, pieceErr = w.Resume(p, b[:i:i], pos)
		if pieceErr != nil {
			if pieceErr != err {
				t.Fatalf("in pieces %v, at once %v", pieceErr, err)
			}
			return
		}
		if pos < seen || pos > i || !done && need <= i {
			t.Fatalf("at %d of %d bytes: from %d to %d, need %d", i, len(b), seen, pos, need)
		}
	}
	if done != (err == nil) || done && pos != n || !done && err != ErrShort {
		t.Fatalf("in pieces %t at %d, at once %d, %v", done, pos, n, err)
	}
}

// FuzzTranscode: what is walked can be transcoded, within bounds, to something well-formed; there and back again is a
// fixed point; what is not walked is refused.
func FuzzTranscode(f *testing.F) {
	seedBodies(f, Binary)
	seedBodies(f, Compact)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, from := range []Payload{Binary, Compact} {
			to := Binary + Compact - from
			var w Walker
			walkErr := WalkExact(from, b, &w)
			out, err := Transcode(nil, from, to, b, 1<<20)
			if (walkErr == nil) != (err == nil) {
				t.Fatalf("%v: walk %v, transcode %v", from, walkErr, err)
			}
			if err != nil {
				continue
			}
			if err := WalkExact(to, out, &w); err != nil {
				t.Fatalf("%v %x became %x: %v", from, b, out, err)
			}
			back, err := Transcode(nil, to, from, out, 1<<20)
			if err != nil {
				t.Fatalf("%v %x became %x and not back: %v", from, b, out, err)
			}
			again, err := Transcode(nil, from, to, back, 1<<20)
			if err != nil || !bytes.Equal(again, out) {
				t.Fatalf("%v %x became %x, then %x, then %x, %v", from, b, out, back, again, err)
			}
			if _, err := Transcode(nil, from, to, b, len(out)-1); len(out) > 1 && err != error(errTooLarge) {
				t.Fatalf("one byte above the bound: %v", err)
			}
		}
	})
}
