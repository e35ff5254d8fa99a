package protocol

import "encoding/binary"

// A large frame is forwarded while it arrives. Its beginning is made into a whole frame with an empty struct for a body,
// the stub, which every codec can read and rewrite like any other frame. What came of it is opened again for the body
// that follows, which passes byte for byte.
//
//	in    length head │ body ……… │ tail        stub   length' head 00 tail ─► Decode ─► AppendCall / AppendReply
//	out   length″ head″ │ body ……… │ tail″  ◄── Open ── length‴ head″ 00 tail″ ◄──────────────────┘

// Header is a Codec whose frames begin with their length, so that a large one can be forwarded while it arrives.
type Header interface {
	// Head finds the body of a frame of size bytes of which begin is there. body is its offset; 0: more bytes are
	// needed; -1: this frame must be had whole (it is compressed, or no such frame). Safe for concurrent use with
	// distinct arguments.
	Head(begin []byte, size int, s *Scratch) (body int)
}

// frameEnd closes the frames that have a tail (wire.md §2, §3).
const frameEnd = 0x03

// Tail is how many bytes a frame has after its body.
func (f Framing) Tail() int {
	if f == OSP || f == Dapeng {
		return 1
	}
	return 0
}

// Opens reports whether a frame of this layout can be written before its body is there, which is in payload p.
func (w Wire) Opens(p Payload) bool {
	switch w.Framing {
	case FramedBinary, FramedLax, FramedCompact, THeader, TTHeader, OSP, Dapeng:
		return p != PayloadAny && w.PayloadFor(p) == p && !w.Zlib && !w.Inner
	}
	return false
}

// AppendStub appends the stub of a frame whose beginning, up to its body, is head.
func AppendStub(dst, head []byte, f Framing) []byte {
	base := len(dst)
	dst = append(append(dst, head...), 0)
	dst = AppendTail(dst, f)
	binary.BigEndian.PutUint32(dst[base:], uint32(len(dst)-base-4))
	return dst
}

// AppendTail appends what closes a frame of this framing.
func AppendTail(dst []byte, f Framing) []byte {
	for range f.Tail() {
		dst = append(dst, frameEnd)
	}
	return dst
}

// IsTail reports whether b is what closes a frame of this framing.
func IsTail(b []byte, f Framing) bool {
	return len(b) == f.Tail() && (len(b) == 0 || b[0] == frameEnd)
}

// Open turns dst[base:], the stub that a codec wrote for a layout that Opens, into the beginning of a frame whose body
// of size bytes, and then the tail, are to be appended.
func Open(dst []byte, base, size int, f Framing) ([]byte, error) {
	length := len(dst) - base - 4 - 1 + size
	if length > HardMaxFrame {
		return dst[:base], ErrFrameSize
	}
	binary.BigEndian.PutUint32(dst[base:], uint32(length))
	return dst[:len(dst)-1-f.Tail()], nil
}

// ErrFrameSize says that a frame that is to be written would be longer than HardMaxFrame.
var ErrFrameSize = &Error{
	Code: CodeTooLarge, Reason: "too_large", Offset: -1, Detail: "the frame would be longer than a four-byte Thrift length may say",
}
