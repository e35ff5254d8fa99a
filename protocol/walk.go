package protocol

// A body is walked, not decoded: only as much of each value is read as is needed to find its end.
//
//	stack: [struct] ─ field i32 ─ skip 7 bytes at once
//	                ─ field list<struct> ─ push ─► [list, 3 left] ─ push ─► [struct] ─ …
//
// The position only moves past whole tokens (a field header with its scalar, a container header, one element), so a
// walk that ran out of bytes goes on at the token it stopped before, and no token before it is looked at again.

// frame is one open struct or container. Eight bytes: a Walker is allocated for every connection on which an unframed
// message arrived in pieces.
type frame struct {
	left uint32 // container: elements that are still to come, keys and values counted apart
	key  uint8  // 0: a struct; else the wire type of list and set elements and of map keys
	val  uint8  // the wire type of map values, equal to key in lists and sets
}

// Why the last walk was short; WalkExact turns it into a reason word.
const (
	shortStruct uint8 = iota // the bytes end between tokens or inside a number
	shortString              // an announced string or UUID is longer than the bytes that are there
	shortList                // a container announces more elements than the bytes that are there can hold
)

// Walker is the explicit stack of a walk over one struct. The zero value is ready. It can stop at the end of the bytes
// that are there and go on when more have come (Resume), so that an unframed message is walked once, not once a read.
type Walker struct {
	need  int   // after ErrShort: bytes that must be there before the walk can go on
	more  int   // bytes that follow b in what is walked but are not there yet; strings and containers may lie in them
	depth uint8 // open structs and containers; 0: no walk is under way
	short uint8
	stack [MaxDepth]frame
}

// Reset forgets a walk that was under way.
func (w *Walker) Reset() { w.depth = 0 }

func (w *Walker) begin() {
	w.depth = 1
	w.stack[0] = frame{}
}

// push opens a struct or container and refuses the sixty-fifth.
func (w *Walker) push(f frame) *Error {
	if w.depth == MaxDepth {
		return errDepth
	}
	w.stack[w.depth] = f
	w.depth++
	return nil
}

// lack notes that the walk cannot go on before need bytes are there.
func (w *Walker) lack(need int, why uint8) *Error {
	w.need, w.short = need, why
	return errShort
}

// Walk finds the end of the one struct that begins at b[0] without decoding it: n is its length, stop byte included.
// ErrShort: b ends before the struct does. Other errors are *Error values with CodeProtocolError.
// Loop or test only: w is scratch space of the caller's.
func Walk(p Payload, b []byte, w *Walker) (n int, err error) {
	n, e := w.walk(p, b)
	if e != nil {
		return 0, e
	}
	return n, nil
}

func (w *Walker) walk(p Payload, b []byte) (int, *Error) {
	w.begin()
	if p == Compact {
		return w.compact(b, 0)
	}
	return w.binary(b, 0)
}

// WalkExact is Walk for a body that must be exactly one struct: bytes after it are an error, as is a missing end.
func WalkExact(p Payload, b []byte, w *Walker) error {
	n, e := w.walk(p, b)
	switch {
	case e == errShort:
		return shortReasons[w.short]
	case e != nil:
		return e
	case n != len(b):
		return errTrailing
	}
	return nil
}

// Skip is Walk for one field's value of wire type t, as the field header names it in p (a compact boolean field has no
// value bytes: n is 0). Loop or test only.
func Skip(p Payload, t byte, b []byte, w *Walker) (n int, err error) {
	if p == Compact && (t == cmpTrue || t == cmpFalse) {
		return 0, nil
	}
	w.depth = 1
	w.stack[0] = frame{left: 1, key: t, val: t} // a container of one element has no bytes of its own
	var e *Error
	switch {
	case t == 0:
		e = errType
	case p == Compact:
		n, e = w.compact(b, 0)
	default:
		n, e = w.binary(b, 0)
	}
	if e != nil {
		return 0, e
	}
	return n, nil
}

// Resume walks on in b from pos, where b begins at the same byte in every call of one walk. The first call after Reset
// opens the struct at pos. done: newPos is the struct's end. Otherwise, without an error, the walk stopped at newPos
// and calling again before b is need bytes long is useless. Loop or test only.
func (w *Walker) Resume(p Payload, b []byte, pos int) (newPos int, done bool, need int, err error) {
	if w.depth == 0 {
		w.begin()
	}
	var e *Error
	if p == Compact {
		pos, e = w.compact(b, pos)
	} else {
		pos, e = w.binary(b, pos)
	}
	switch e {
	case nil:
		return pos, true, 0, nil
	case errShort:
		return pos, false, w.need, nil
	}
	return pos, false, 0, e
}
