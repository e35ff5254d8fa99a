package thrift

import (
	"github.com/bellhop-mesh/bellhop/protocol"
)

const (
	transformNone = 0
	transformZlib = 1
	infoPadding   = 0
	infoKeyValue  = 1
)

// theader is Apache's THeader (doc/specs/HeaderFormat.md in the Thrift repository). Its header:
//
//	varint(protocol) varint(n) n×varint(transform) blocks… 00 padding to a whole word
//	block: 01 varint(n) n×( varint(size) key varint(size) value )
//
// A block with another id ends the parse; it and what follows is kept when the header is written anew.
type theader struct{}

// Framing returns protocol.THeader.
func (theader) Framing() protocol.Framing { return protocol.THeader }

// Split finds the end of the first frame.
func (theader) Split(sc *protocol.Scan, buf []byte, max int) (int, error) {
	return splitFramed(sc, buf, max)
}

// Decode reads header and message; a compressed payload is inflated into s, because name and sequence are inside.
func (theader) Decode(frame []byte, m *protocol.Message, s *protocol.Scratch) error {
	m.Reset()
	m.Framing, m.Frame = protocol.THeader, frame
	header, payload, e := openHeader(frame, magicTHeader, m)
	if e != nil {
		return e
	}
	if e = readTHeader(header, m); e != nil {
		return e
	}
	if m.Zlib {
		if payload, e = inflate(payload, s); e != nil {
			return e
		}
	}
	return decode(m, payload, s)
}

// readTHeader fills in m from the header.
func readTHeader(header []byte, m *protocol.Message) *protocol.Error {
	c := cursor{b: header}
	id := c.varint()
	if c.bad {
		return errHeader
	}
	p, e := payloadOf(id)
	if e != nil {
		return e
	}
	m.Payload = p
	if e := readTransforms(&c, m); e != nil {
		return e
	}
	for c.more() {
		switch c.varint() {
		case infoPadding:
			return nil
		case infoKeyValue:
			if e := readEntries(&c, m); e != nil {
				return e
			}
		default:
			return nil
		}
	}
	return nil
}

// readTransforms reads their number and their ids.
func readTransforms(c *cursor, m *protocol.Message) *protocol.Error {
	n := c.varint()
	if c.bad {
		return errHeader
	}
	for ; n > 0; n-- {
		switch t := c.varint(); {
		case c.bad:
			return errHeader
		case t == transformNone:
		case t == transformZlib && !m.Zlib:
			m.Zlib = true
		default:
			return errTransform
		}
	}
	return nil
}

// theaderTail returns what readTHeader does not understand: the blocks from the first unknown one on, padding included.
func theaderTail(header []byte) []byte {
	c := cursor{b: header}
	c.varint()
	for n := c.varint(); n > 0 && !c.bad; n-- {
		c.varint()
	}
	for c.more() {
		at := c.pos
		switch c.varint() {
		case infoPadding:
			return nil
		case infoKeyValue:
			for n := 2 * c.varint(); n > 0 && !c.bad; n-- {
				c.bytes(c.varint())
			}
		default:
			return header[at:]
		}
	}
	return nil
}

// readEntries reads what follows the id of a key-value block.
func readEntries(c *cursor, m *protocol.Message) *protocol.Error {
	for n := c.varint(); n > 0 && !c.bad; n-- {
		key := c.bytes(c.varint())
		value := c.bytes(c.varint())
		if c.bad {
			break
		}
		if e := setEntry(m, key, value); e != nil {
			return e
		}
	}
	if c.bad {
		return errHeader
	}
	return nil
}

// setEntry puts one entry where the model has a place for it.
func setEntry(m *protocol.Message, key, value []byte) *protocol.Error {
	switch string(key) {
	case keyService:
		m.Service = value
	case keyVersion:
		m.Version = value
	case keyCaller:
		m.Caller = value
	case keyTrace:
		m.Trace = value
	case keyOSPHeader:
		m.OSPHeader = value
	case keyTimeout:
		if !setTimeout(m, value) {
			return addInfo(m, key, value)
		}
	default:
		return addInfo(m, key, value)
	}
	return nil
}

// AppendCall writes m for an upstream. From THeader in the same protocol and compression, without Extra, the header is
// kept byte for byte but for its sequence.
func (theader) AppendCall(dst []byte, m *protocol.Message, to protocol.Wire, seq int32, s *protocol.Scratch) ([]byte, error) {
	base := len(dst)
	p := to.PayloadFor(m.Payload)
	var e *protocol.Error
	if sameHeader(m, protocol.THeader, p) && m.Zlib == to.Zlib {
		dst = copyHeader(dst, m, seq)
	} else {
		w := theaderWriter{payload: p, zlib: to.Zlib, seq: seq}
		if len(m.Extra) > 0 && m.Framing == protocol.OSP {
			w.osp = m.Header // a hand-off
		}
		if dst, e = w.append(dst, m, s); e != nil {
			return dst[:base], e
		}
	}
	var err error
	if to.Zlib {
		f := flateOf(s)
		if f.msg, err = appendCall(f.scratch(), m, p, to.Lax, seq, s); err == nil {
			dst = deflate(dst, f.msg, s)
		}
	} else {
		dst, err = appendCall(dst, m, p, to.Lax, seq, s)
	}
	if err != nil {
		return dst[:base], err
	}
	return closeFrame(dst, base)
}

// AppendReply writes m for the caller that to remembers, compressed only if the call was. The frame gets the call's
// frame sequence back, the message its own.
func (theader) AppendReply(dst []byte, m *protocol.Message, to *protocol.ReplyTo, s *protocol.Scratch) ([]byte, error) {
	base := len(dst)
	p := to.PayloadFor(m.Payload)
	var e *protocol.Error
	if sameHeader(m, protocol.THeader, p) && m.Zlib == to.Zlib {
		dst = copyHeader(dst, m, to.Seq)
	} else {
		w := theaderWriter{payload: p, zlib: to.Zlib, seq: to.Seq}
		if to.Handoff && m.Framing == protocol.OSP {
			w.osp = m.Header
		}
		if dst, e = w.append(dst, m, s); e != nil {
			return dst[:base], e
		}
	}
	var err error
	if to.Zlib {
		f := flateOf(s)
		if f.msg, err = appendReply(f.scratch(), m, to, p, s); err == nil {
			dst = deflate(dst, f.msg, s)
		}
	} else {
		dst, err = appendReply(dst, m, to, p, s)
	}
	if err != nil {
		return dst[:base], err
	}
	return closeFrame(dst, base)
}

// AppendFault writes a TApplicationException, never compressed: readers go by each frame's own transforms. A call that
// has certainly not run is marked in the header.
func (theader) AppendFault(dst []byte, f protocol.Fault, to *protocol.ReplyTo) []byte {
	base := len(dst)
	p := to.PayloadFor(protocol.PayloadAny)
	dst = append(startHeader(dst, magicTHeader, 0, to.Seq), protocolID(p), 0)
	switch {
	case f.Code == protocol.CodeGoHome:
		dst = appendEntry(appendEntry(append(dst, infoKeyValue, 2), keyNotExecuted, "true"), keyGoHome, "true")
	case f.NotExecuted():
		dst = appendEntry(append(dst, infoKeyValue, 1), keyNotExecuted, "true")
	}
	dst, _ = sealHeader(dst, base) // a few bytes: neither bound can be reached
	dst, _ = closeFrame(appendFault(dst, f, to, p), base)
	return dst
}

// sameHeader reports whether m's header can be kept as it is.
func sameHeader(m *protocol.Message, f protocol.Framing, p protocol.Payload) bool {
	return m.Framing == f && m.Payload == p && len(m.Extra) == 0
}
