package protocol

// Walker is the explicit stack of a walk over one struct. The zero value is ready. It can stop at the end of the bytes
// that are there and go on when more have come (Resume), so that an unframed message is walked once, not once a read.
type Walker struct{}

// Walk finds the end of the one struct that begins at b[0] without decoding it: n is its length, stop byte included.
// ErrShort: b ends before the struct does. Other errors are *Error values with CodeProtocolError.
// Loop or test only: w is scratch space of the caller's.
func Walk(p Payload, b []byte, w *Walker) (n int, err error) { panic("not written yet") }

// WalkExact is Walk for a body that must be exactly one struct: bytes after it are an error, as is a missing end.
func WalkExact(p Payload, b []byte, w *Walker) error { panic("not written yet") }

// Transcode appends body, one well-formed struct in from, to dst in to, without an IDL: the wire carries the types.
// What is appended is bounded by max bytes. When from == to it is a copy.
func Transcode(dst []byte, from, to Payload, body []byte, max int) ([]byte, error) {
	panic("not written yet")
}
