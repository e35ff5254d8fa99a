package thrift

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"encoding/binary"
	"hash/adler32"
	"io"

	"github.com/bellhop-mesh/bellhop/protocol"
)

var (
	errInflate = defect("bad_zlib", "the payload is not one whole zlib stream")
	errBomb    = &protocol.Error{
		Code: protocol.CodeTooLarge, Reason: "too_large", Offset: -1,
		Detail: "the payload inflates to more than the frame cap",
	}
)

// keepInflated is the largest output buffer that outlives its frame: one caller's large frame must not stay in every
// worker for ever.
const keepInflated = 1 << 20

// squeezer is what Scratch.Flate holds: a reader and a writer (about 40 kB and 1 MB) that are made when first needed.
type squeezer struct {
	in  bytes.Reader
	r   io.ReadCloser // also a flate.Resetter
	w   *zlib.Writer
	out appender
	msg []byte // a message on its way into the writer, or a header that was transcoded
}

// appender is an io.Writer over a slice.
type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

func flateOf(s *protocol.Scratch) *squeezer {
	f, ok := s.Flate.(*squeezer)
	if !ok {
		f = new(squeezer)
		s.Flate = f
	}
	return f
}

// scratch returns the emptied message buffer, a new one where a large message has left its mark.
func (f *squeezer) scratch() []byte {
	if cap(f.msg) > keepInflated {
		f.msg = nil
	}
	return f.msg[:0]
}

// inflate decompresses payload, one zlib stream (RFC 1950), into s.Inflated. The bound is checked as the output grows,
// never from what the stream says about itself, and the buffer grows with the output. compress/zlib's own reader would
// allocate for every frame.
//
//	CMF(1) FLG(1) deflate stream adler32(4)
func inflate(payload []byte, s *protocol.Scratch) ([]byte, *protocol.Error) {
	const trailer, deflated, dictionary = 4, 8, 0x20
	if len(payload) < 2+trailer || binary.BigEndian.Uint16(payload)%31 != 0 || payload[0]&0x0F != deflated ||
		payload[0]>>4 > 7 || payload[1]&dictionary != 0 {
		return nil, errInflate
	}
	f := flateOf(s)
	f.in.Reset(payload[2:])
	defer f.in.Reset(nil)
	if f.r == nil {
		f.r = flate.NewReader(&f.in)
	} else if f.r.(flate.Resetter).Reset(&f.in, nil) != nil {
		return nil, errInflate
	}
	if cap(s.Inflated) > keepInflated {
		s.Inflated = nil
	}
	out, e := readAll(f.r, s.Inflated[:0], s.Max)
	if e != nil {
		return nil, e
	}
	s.Inflated = out
	// The reader takes its input byte by byte, so what is left begins where the stream ended.
	if f.in.Len() != trailer || binary.BigEndian.Uint32(payload[len(payload)-trailer:]) != adler32.Checksum(out) {
		return nil, errInflate
	}
	return out, nil
}

// readAll appends what r has to out, limit bytes at most.
func readAll(r io.Reader, out []byte, limit int) ([]byte, *protocol.Error) {
	if limit <= 0 {
		limit = protocol.DefaultMaxFrame
	}
	for {
		if len(out) == cap(out) {
			out = append(out, 0)[:len(out)]
		}
		n, err := r.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case len(out) > limit:
			return nil, errBomb
		case err == io.EOF:
			return out, nil
		case err != nil:
			return nil, errInflate
		}
	}
}

// deflate appends msg to dst as a zlib stream.
func deflate(dst, msg []byte, s *protocol.Scratch) []byte {
	f := flateOf(s)
	f.out.b = dst
	if f.w == nil {
		f.w, _ = zlib.NewWriterLevel(&f.out, zlib.BestSpeed) // the level is a valid one
	} else {
		f.w.Reset(&f.out)
	}
	_, _ = f.w.Write(msg) // appending cannot fail
	_ = f.w.Close()
	dst = f.out.b
	f.out.b = nil
	return dst
}
