package thrift

import (
	"encoding/binary"

	"github.com/bellhop-mesh/bellhop/protocol"
)

var (
	errZeroFrame     = defect("zero_frame", "a frame length of zero: heartbeats are for OSP and dapeng")
	errNegativeFrame = defect("negative_size", "a frame length is negative; an unframed peer on a framed listener?")
	errFrameEnd      = defect("bad_length", "the frame's length is not the number of its bytes")
	errTooLarge      = &protocol.Error{
		Code: protocol.CodeTooLarge, Reason: "too_large", Offset: -1,
		Detail: "the frame is larger than the frame cap",
	}
)

// plain is the family of bare TMessages: strict or lax TBinary, or TCompact, with or without a length before it.
// Strict and lax are read in either direction, whatever was detected or pinned.
type plain struct {
	framing protocol.Framing
	payload protocol.Payload
	framed  bool
}

// Framing returns the framing this codec speaks.
func (c plain) Framing() protocol.Framing { return c.framing }

// Split finds the end of the first frame.
func (c plain) Split(sc *protocol.Scan, buf []byte, max int) (int, error) {
	if c.framed {
		return splitFramed(sc, buf, max)
	}
	return splitUnframed(sc, buf, max, c.payload)
}

// splitFramed reads a four-byte length, which does not count itself. It serves every framing of this package that has
// one.
func splitFramed(sc *protocol.Scan, buf []byte, max int) (int, error) {
	if len(buf) < 4 {
		sc.Need = 4
		return 0, nil
	}
	if max <= 0 {
		max = protocol.DefaultMaxFrame
	}
	n := int(int32(binary.BigEndian.Uint32(buf)))
	switch {
	case n < 0:
		return 0, errNegativeFrame
	case n == 0:
		return 0, errZeroFrame
	case n+4 > max:
		return 0, errTooLarge
	case n+4 > len(buf):
		sc.Need = n + 4
		return 0, nil
	}
	sc.Need = 0
	return n + 4, nil
}

// Decode reads the message header and, in calls, walks the body.
func (c plain) Decode(frame []byte, m *protocol.Message, s *protocol.Scratch) error {
	m.Reset()
	m.Framing, m.Payload, m.Frame = c.framing, c.payload, frame
	msg := frame
	if c.framed {
		if len(frame) < 4 {
			return errFrameEnd
		}
		if int(binary.BigEndian.Uint32(frame)) != len(frame)-4 { // its beginning still says whom to answer
			_ = decode(m, frame[4:], s)
			m.Seq = m.MsgSeq
			return errFrameEnd
		}
		msg = frame[4:]
	}
	err := decode(m, msg, s)
	m.Seq = m.MsgSeq
	return err
}

// AppendCall writes m for an upstream. Between plain framings of the same payload the message is copied and its
// sequence patched.
func (c plain) AppendCall(dst []byte, m *protocol.Message, to protocol.Wire, seq int32, s *protocol.Scratch) ([]byte, error) {
	base := len(dst)
	if c.framed {
		dst = openFrame(dst)
	}
	var err error
	if msg := c.patchable(m, to.Lax); msg != nil && !m.Prefixed && !m.KeepPrefix {
		dst = appendPatched(dst, msg, m, seq)
	} else if dst, err = appendCall(dst, m, c.payload, to.Lax, seq, s); err != nil {
		return dst[:base], err
	}
	return c.finish(dst, base)
}

// AppendReply writes m for the caller that to remembers.
func (c plain) AppendReply(dst []byte, m *protocol.Message, to *protocol.ReplyTo, s *protocol.Scratch) ([]byte, error) {
	base := len(dst)
	if c.framed {
		dst = openFrame(dst)
	}
	var err error
	if msg := c.patchable(m, to.Lax); msg != nil && !m.Prefixed && len(m.Method) > 0 {
		dst = appendPatched(dst, msg, m, to.MsgSeq)
	} else if dst, err = appendReply(dst, m, to, c.payload, s); err != nil {
		return dst[:base], err
	}
	return c.finish(dst, base)
}

// AppendFault writes a TApplicationException; a fault that a plain framing cannot mark as not executed begins so.
func (c plain) AppendFault(dst []byte, f protocol.Fault, to *protocol.ReplyTo) []byte {
	base := len(dst)
	if c.framed {
		dst = openFrame(dst)
	}
	dst, _ = c.finish(appendFault(dst, f, to, c.payload), base) // a fault is short
	return dst
}

func (c plain) finish(dst []byte, base int) ([]byte, error) {
	if !c.framed {
		return dst, nil
	}
	return closeFrame(dst, base)
}

// patchable returns m's TMessage bytes when all that has to change in them is the sequence: it is plain strict or lax
// binary as it came, and is to stay so.
func (c plain) patchable(m *protocol.Message, lax bool) []byte {
	if c.payload != protocol.Binary || m.Lax != lax {
		return nil
	}
	switch m.Framing {
	case protocol.FramedBinary, protocol.FramedLax:
		return m.Frame[4:]
	case protocol.UnframedBinary, protocol.UnframedLax:
		return m.Frame
	}
	return nil
}

// appendPatched copies a binary TMessage whose name is m.Method.
func appendPatched(dst, msg []byte, m *protocol.Message, seq int32) []byte {
	base := len(dst)
	dst = append(dst, msg...)
	at := base + 8 + len(m.Method)
	typ := base + 3
	if m.Lax {
		at -= 3
		typ = at - 1
	}
	dst[typ] = byte(m.Type)
	binary.BigEndian.PutUint32(dst[at:], uint32(seq))
	return dst
}
