package protocol

// maxToken bounds a token without what a string or a container of fixed-width elements holds: a field header, then a
// UUID or the header of a map (compact: 1+3 bytes, 16 bytes).
const maxToken = 64

// StreamWalker walks one struct of a known size whose bytes come in pieces that are not kept: the body of a frame that
// is forwarded while it arrives. It says of every piece whether it can still be part of exactly one well-formed struct.
// At most maxToken bytes are remembered. Loop or test only.
type StreamWalker struct {
	w       Walker
	payload Payload
	left    int // bytes of the struct that have not been fed
	skip    int // of them, those inside a string or a container of fixed-width elements
	n       int // bytes in part
	done    bool
	part    [maxToken]byte // the beginning of a token that came in pieces
}

// Begin forgets a walk that was under way and starts one over size bytes.
func (s *StreamWalker) Begin(p Payload, size int) {
	*s = StreamWalker{payload: p, left: size}
	s.w.begin()
}

// Feed takes the next piece, at most the bytes that are left. The last one is refused unless the struct ends with it.
// Errors are *Error values with CodeProtocolError.
func (s *StreamWalker) Feed(b []byte) error {
	if len(b) > s.left {
		return errTrailing
	}
	s.left -= len(b)
	for len(b) > 0 {
		if s.skip > 0 {
			n := min(s.skip, len(b))
			s.skip, b = s.skip-n, b[n:]
			continue
		}
		rest, e := s.tokens(b)
		if e != nil {
			return e
		}
		b = rest
	}
	if s.left == 0 && !s.done {
		return errShort
	}
	return nil
}

// tokens walks whole tokens and returns what of b comes after them.
func (s *StreamWalker) tokens(b []byte) (rest []byte, e *Error) {
	if s.n == 0 {
		pos, e := s.step(b, s.left)
		if e != nil || pos >= len(b) {
			s.skip = max(pos-len(b), 0)
			return nil, e
		}
		s.n = copy(s.part[:], b[pos:])
		if pos+s.n < len(b) { // no token is so long
			return nil, errVarint
		}
		return nil, nil
	}
	had := s.n
	took := copy(s.part[had:], b)
	pos, e := s.step(s.part[:had+took], s.left+len(b)-took)
	switch {
	case e != nil:
		return nil, e
	case pos >= had: // the token that came in pieces is over
		s.n = 0
		s.skip = max(pos-had-len(b), 0)
		return b[min(pos-had, len(b)):], nil
	case took < len(b):
		return nil, errVarint
	}
	s.n = copy(s.part[:], s.part[pos:had+took])
	return nil, nil
}

// step walks as many tokens of b as are whole, where more bytes follow, and returns where it stopped: past the end of b
// when a string or container reaches beyond it.
func (s *StreamWalker) step(b []byte, more int) (int, *Error) {
	if s.done {
		return 0, errTrailing
	}
	s.w.more = more
	var pos int
	var e *Error
	if s.payload == Compact {
		pos, e = s.w.compact(b, 0)
	} else {
		pos, e = s.w.binary(b, 0)
	}
	switch {
	case e == nil && pos != len(b)+more:
		return pos, errTrailing
	case e == nil:
		s.done = true
	case e != errShort:
		return pos, e
	case s.w.short != shortStruct:
		return pos, shortReasons[s.w.short]
	}
	return pos, nil
}
