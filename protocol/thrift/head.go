package thrift

import (
	"encoding/binary"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// Head finds the body of a frame that has not all come.
func (c plain) Head(begin []byte, _ int, _ *protocol.Scratch) int {
	if !c.framed {
		return -1
	}
	return bodyAt(begin, 4, c.payload)
}

// Head finds the body of a frame that is not compressed.
func (theader) Head(begin []byte, _ int, _ *protocol.Scratch) int {
	header, at := headerOf(begin, magicTHeader)
	if at <= 0 {
		return at
	}
	var m protocol.Message
	c := cursor{b: header}
	p, e := payloadOf(c.varint())
	m.Payload = p
	if e != nil || readTransforms(&c, &m) != nil || m.Zlib {
		return -1
	}
	return bodyAt(begin, at, p)
}

// Head finds the body of a frame whose payload is a bare message.
func (ttheader) Head(begin []byte, size int, _ *protocol.Scratch) int {
	header, at := headerOf(begin, magicTTHeader)
	if at <= 0 {
		return at
	}
	if at+4 > len(begin) {
		return 0
	}
	c := cursor{b: header}
	p, e := payloadOf(c.u8())
	if e != nil || c.u8() > 0 || int(binary.BigEndian.Uint32(begin[at:])) == size-at-4 {
		return -1
	}
	return bodyAt(begin, at, p)
}

// headerOf returns the header that follows the fourteen bytes, and the offset of the payload; 0 and -1 as in Head.
func headerOf(begin []byte, magic uint16) (header []byte, at int) {
	if len(begin) < offHeader {
		return nil, 0
	}
	at = offHeader + int(binary.BigEndian.Uint16(begin[offWords:]))*4
	switch {
	case binary.BigEndian.Uint16(begin[offMagic:]) != magic || at > offHeader+protocol.MaxHeader:
		return nil, -1
	case at > len(begin):
		return nil, 0
	}
	return begin[offHeader:at], at
}

// bodyAt returns the offset of the struct of the message that begins at an offset; 0 and -1 as in Head.
func bodyAt(begin []byte, at int, p protocol.Payload) int {
	if at > len(begin) {
		return 0
	}
	var h head
	need, e := h.parse(begin[at:], p)
	switch {
	case e != nil:
		return -1
	case need > 0:
		return 0
	}
	return at + h.body
}
