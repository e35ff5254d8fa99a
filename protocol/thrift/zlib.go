package thrift

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"

	"github.com/bellhop-mesh/bellhop/protocol"
)

var (
	errInflate = defect("bad_zlib", "the payload is not one whole zlib stream")
	errBomb    = &protocol.Error{Code: protocol.CodeTooLarge, Reason: "too_large", Offset: -1,
		Detail: "the payload inflates to more than the frame cap"}
)

// keepInflated is the largest output buffer that outlives its frame: one caller's large frame must not stay in every
// worker for ever.
const keepInflated = 1 << 20

// flate is what Scratch.Flate holds: a reader and a writer (about 40 kB and 1 MB) that are made when first needed.
type flate struct {
	in  bytes.Reader
	r   io.ReadCloser // also a zlib.Resetter
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

func flateOf(s *protocol.Scratch) *flate {
	f, ok := s.Flate.(*flate)
	if !ok {
		f = new(flate)
		s.Flate = f
	}
	return f
}

// scratch returns the emptied message buffer, a new one where a large message has left its mark.
func (f *flate) scratch() []byte {
	if cap(f.msg) > keepInflated {
		f.msg = nil
	}
	return f.msg[:0]
}

// inflate decompresses payload into s.Inflated. The bound is checked as the output grows, never from what the stream
// says about itself, and the buffer grows with the output.
func inflate(payload []byte, s *protocol.Scratch) ([]byte, *protocol.Error) {
	limit := s.Max
	if limit <= 0 {
		limit = protocol.DefaultMaxFrame
	}
	f := flateOf(s)
	f.in.Reset(payload)
	defer f.in.Reset(nil)
	if f.r == nil {
		r, err := zlib.NewReader(&f.in)
		if err != nil {
			return nil, errInflate
		}
		f.r = r
	} else if f.r.(zlib.Resetter).Reset(&f.in, nil) != nil {
		return nil, errInflate
	}
	if cap(s.Inflated) > keepInflated {
		s.Inflated = nil
	}
	out := s.Inflated[:0]
	for {
		if len(out) == cap(out) {
			out = append(out, make([]byte, max(len(out), 512))...)[:len(out)]
		}
		n, err := f.r.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		if len(out) > limit {
			s.Inflated = nil
			return nil, errBomb
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errInflate
		}
	}
	s.Inflated = out
	if f.in.Len() > 0 {
		return nil, errInflate
	}
	return out, nil
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
