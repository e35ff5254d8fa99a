package thrift

import (
	"encoding/binary"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// Block ids of a TTHeader, and the keys that the model takes (CloudWeGo, "TTHeader protocol specification").
const (
	blockPadding = 0x00
	blockString  = 0x01
	blockInt     = 0x10
	blockToken   = 0x11

	intLogID       = 2
	intFromService = 3
	intToService   = 6
	intToMethod    = 9
	intTimeout     = 12
	intSpan        = 18

	keyIDLService = "isn"   // the service's name in its IDL
	keyClosing    = "crrst" // the peer is about to close the connection

	flagOutOfOrder = 0x01
)

// ttheader is CloudWeGo's TTHeader. Its header has fixed-width counts:
//
//	protocol(1) n(1) n×transform(1) blocks… 00 padding to a whole word
//	01: n(2) n×( size(2) key size(2) value )    10: n(2) n×( key(2) size(2) value )    11: size(2) token
//
// The payload is a TMessage, or len(4) and a TMessage; Wire.Inner remembers which.
type ttheader struct{}

// Framing returns protocol.TTHeader.
func (ttheader) Framing() protocol.Framing { return protocol.TTHeader }

// Split finds the end of the first frame.
func (ttheader) Split(sc *protocol.Scan, buf []byte, max int) (int, error) {
	return splitFramed(sc, buf, max)
}

// Decode reads header and message.
func (ttheader) Decode(frame []byte, m *protocol.Message, s *protocol.Scratch) error {
	m.Reset()
	m.Framing, m.Frame = protocol.TTHeader, frame
	header, payload, e := openHeader(frame, magicTTHeader, m)
	if e != nil {
		return e
	}
	m.OutOfOrder = binary.BigEndian.Uint16(frame[offFlags:])&flagOutOfOrder != 0
	if e = readTTHeader(header, m); e != nil {
		return e
	}
	// A message begins with 80 or 82, or with the size of its name; none of them is the number of the bytes that follow.
	if len(payload) >= 4 && int(binary.BigEndian.Uint32(payload)) == len(payload)-4 {
		m.Inner, payload = true, payload[4:]
	}
	return decode(m, payload, s)
}

// readTTHeader fills in m from the header.
func readTTHeader(header []byte, m *protocol.Message) *protocol.Error {
	c := cursor{b: header}
	id, transforms := c.u8(), c.u8()
	if c.bad {
		return errHeader
	}
	p, e := payloadOf(id)
	if e != nil {
		return e
	}
	m.Payload = p
	if transforms > 0 {
		return errTransform
	}
	var r ttReader
	for c.more() && e == nil {
		switch c.u8() {
		case blockPadding:
			return r.settle(m)
		case blockString:
			e = r.strings(&c, m)
		case blockInt:
			e = r.ints(&c, m)
		case blockToken:
			c.bytes(c.u16())
			if c.bad {
				e = errHeader
			}
		default:
			return r.settle(m) // ids are ordered by age: nothing after an unknown one is known either
		}
	}
	if e != nil {
		return e
	}
	return r.settle(m)
}

// ttReader holds what two keys compete for until the whole header was read.
type ttReader struct{ idlKey, idlService, logID []byte }

func (r *ttReader) strings(c *cursor, m *protocol.Message) *protocol.Error {
	for n := c.u16(); n > 0 && !c.bad; n-- {
		key := c.bytes(c.u16())
		value := c.bytes(c.u16())
		if c.bad {
			break
		}
		switch string(key) {
		case keyIDLService:
			r.idlKey, r.idlService = key, value
			continue
		case keyClosing:
			m.GoingAway = string(value) != "0"
			continue
		case keyVersion:
			m.Version = value
			continue
		}
		if e := addInfo(m, key, value); e != nil {
			return e
		}
	}
	if c.bad {
		return errHeader
	}
	return nil
}

func (r *ttReader) ints(c *cursor, m *protocol.Message) *protocol.Error {
	for n := c.u16(); n > 0 && !c.bad; n-- {
		key := c.u16()
		value := c.bytes(c.u16())
		switch key {
		case intToService:
			m.Service = value
		case intFromService:
			m.Caller = value
		case intTimeout:
			setTimeout(m, value)
		case intSpan:
			m.Trace = value
		case intLogID:
			r.logID = value
		}
	}
	if c.bad {
		return errHeader
	}
	return nil
}

// settle: the registry's name of the service comes before its IDL name, a span before a log id.
func (r *ttReader) settle(m *protocol.Message) *protocol.Error {
	if len(m.Trace) == 0 {
		m.Trace = r.logID
	}
	switch {
	case len(m.Service) == 0:
		m.Service = r.idlService
	case len(r.idlService) > 0:
		return addInfo(m, r.idlKey, r.idlService)
	}
	return nil
}

// AppendCall writes m for an upstream. From TTHeader in the same payload protocol, without Extra, the header is kept
// byte for byte but for its sequence.
func (ttheader) AppendCall(dst []byte, m *protocol.Message, to protocol.Wire, seq int32, s *protocol.Scratch) ([]byte, error) {
	base := len(dst)
	p := to.PayloadFor(m.Payload)
	dst, e := appendTTHeader(dst, m, p, seq)
	if e != nil {
		return dst[:base], e
	}
	at := len(dst)
	if to.Inner {
		dst = openFrame(dst)
	}
	dst, err := appendCall(dst, m, p, to.Lax, seq, s)
	return closeBoth(dst, base, at, to.Inner, err)
}

// AppendReply writes m for the caller that to remembers, in the payload form of its call.
func (ttheader) AppendReply(dst []byte, m *protocol.Message, to *protocol.ReplyTo, s *protocol.Scratch) ([]byte, error) {
	base := len(dst)
	p := to.PayloadFor(m.Payload)
	dst, e := appendTTHeader(dst, m, p, to.Seq)
	if e != nil {
		return dst[:base], e
	}
	at := len(dst)
	if to.Inner {
		dst = openFrame(dst)
	}
	dst, err := appendReply(dst, m, to, p, s)
	return closeBoth(dst, base, at, to.Inner, err)
}

// AppendFault writes a TApplicationException. What the header says about it: not executed, going away.
func (ttheader) AppendFault(dst []byte, f protocol.Fault, to *protocol.ReplyTo) []byte {
	base := len(dst)
	p := to.PayloadFor(protocol.PayloadAny)
	dst = append(startHeader(dst, magicTTHeader, 0, to.Seq), protocolID(p), 0)
	block := ttBlock{at: len(dst)}
	if f.NotExecuted() {
		dst = block.add(dst, keyNotExecuted, "true")
	}
	if f.Code == protocol.CodeGoHome {
		dst = block.add(dst, keyGoHome, "true")
	}
	if f.GoingAway {
		dst = block.add(dst, keyClosing, "1")
	}
	dst, _ = sealHeader(block.close(dst), base) // a few bytes: no bound can be reached
	at := len(dst)
	if to.Inner {
		dst = openFrame(dst)
	}
	dst, _ = closeBoth(appendFault(dst, f, to, p), base, at, to.Inner, nil)
	return dst
}

// closeBoth fills in the length of the inner frame, where there is one, and of the frame.
func closeBoth(dst []byte, base, at int, inner bool, err error) ([]byte, error) {
	if err != nil {
		return dst[:base], err
	}
	if inner {
		if dst, err = closeFrame(dst, at); err != nil {
			return dst[:base], err
		}
	}
	return closeFrame(dst, base)
}
