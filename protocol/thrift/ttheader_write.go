package thrift

import (
	"encoding/binary"

	"github.com/bellhop-mesh/bellhop/protocol"
)

var errEntrySize = &protocol.Error{
	Code: protocol.CodeTooLarge, Reason: "header_too_large", Offset: -1,
	Detail: "a header entry is longer than the 65535 bytes a TTHeader entry can be",
}

// ttBlock is a key-value block that is being written; nothing of it is there before its first entry.
type ttBlock struct {
	at  int  // where the block begins
	n   int  // entries so far
	id  byte // 0: blockString
	bad bool // an entry was too long
}

func (b *ttBlock) open(dst []byte) []byte {
	b.n++
	if b.n > 1 {
		return dst
	}
	b.at = len(dst)
	if b.id == 0 {
		b.id = blockString
	}
	return append(dst, b.id, 0, 0)
}

// add appends one string entry.
func (b *ttBlock) add(dst []byte, key, value string) []byte {
	if len(key) > 0xFFFF || len(value) > 0xFFFF {
		b.bad = true
		return dst
	}
	dst = binary.BigEndian.AppendUint16(b.open(dst), uint16(len(key)))
	dst = binary.BigEndian.AppendUint16(append(dst, key...), uint16(len(value)))
	return append(dst, value...)
}

func (b *ttBlock) addBytes(dst, key, value []byte) []byte {
	if len(key) > 0xFFFF || len(value) > 0xFFFF {
		b.bad = true
		return dst
	}
	dst = binary.BigEndian.AppendUint16(b.open(dst), uint16(len(key)))
	dst = binary.BigEndian.AppendUint16(append(dst, key...), uint16(len(value)))
	return append(dst, value...)
}

// addInt appends one entry of an int block; empty values are left out.
func (b *ttBlock) addInt(dst []byte, key uint16, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	if len(value) > 0xFFFF {
		b.bad = true
		return dst
	}
	dst = binary.BigEndian.AppendUint16(b.open(dst), key)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	return append(dst, value...)
}

func (b *ttBlock) close(dst []byte) []byte {
	if b.n > 0 {
		binary.BigEndian.PutUint16(dst[b.at+1:], uint16(b.n))
	}
	return dst
}

// appendTTHeader writes everything before the payload.
func appendTTHeader(dst []byte, m *protocol.Message, p protocol.Payload, seq int32) ([]byte, *protocol.Error) {
	if sameHeader(m, protocol.TTHeader, p) {
		return copyHeader(dst, m, seq), nil
	}
	base := len(dst)
	var flags uint16
	same := m.Framing == protocol.TTHeader
	if same {
		flags = binary.BigEndian.Uint16(m.Frame[offFlags:])
	}
	dst = append(startHeader(dst, magicTTHeader, flags, seq), protocolID(p), 0)
	var ok bool
	if same {
		dst, ok = rewriteBlocks(dst, m)
	} else {
		dst, ok = modelBlocks(dst, m)
	}
	if !ok {
		return dst[:base], errEntrySize
	}
	return sealHeader(dst, base)
}

// modelBlocks writes a header for a message of another framing.
func modelBlocks(dst []byte, m *protocol.Message) ([]byte, bool) {
	ints := ttBlock{id: blockInt}
	if m.IsCall() {
		dst = ints.addInt(dst, intFromService, m.Caller)
		dst = ints.addInt(dst, intToService, m.Service)
		dst = ints.addInt(dst, intToMethod, m.Method)
		if m.Timeout > 0 {
			var b [20]byte
			dst = ints.addInt(dst, intTimeout, appendTimeout(b[:0], m.Timeout))
		}
	}
	dst = ints.close(ints.addInt(dst, intSpan, m.Trace))
	var strs ttBlock
	if m.IsCall() {
		if len(m.Service) > 0 {
			dst = strs.addBytes(dst, []byte(keyIDLService), m.Service)
		}
		if len(m.Version) > 0 {
			dst = strs.addBytes(dst, []byte(keyVersion), m.Version)
		}
	}
	if m.GoingAway {
		dst = strs.add(dst, keyClosing, "1")
	}
	for i := range m.Info {
		kv := &m.Info[i]
		if string(kv.Key) != keyIDLService && string(kv.Key) != keyClosing && !overridden(m, kv.Key) {
			dst = strs.addBytes(dst, kv.Key, kv.Value)
		}
	}
	dst = strs.close(appendExtra(dst, m, &strs))
	return dst, !ints.bad && !strs.bad
}

func appendExtra(dst []byte, m *protocol.Message, b *ttBlock) []byte {
	for i := range m.Extra {
		dst = b.addBytes(dst, m.Extra[i].Key, m.Extra[i].Value)
	}
	return dst
}

// rewriteBlocks copies m's own blocks and adds Extra as a block of its own. String entries that Extra has too are left
// out; blocks from the first unknown one on come last, as they came.
func rewriteBlocks(dst []byte, m *protocol.Message) ([]byte, bool) {
	c := cursor{b: m.Header, pos: 2} // it was read before, without an error
	var tail []byte
	for c.more() && tail == nil {
		at := c.pos
		switch c.u8() {
		case blockPadding:
			c.pos = len(c.b)
		case blockString:
			dst = copyStrings(dst, &c, m)
		case blockInt:
			for n := c.u16(); n > 0; n-- {
				c.u16()
				c.bytes(c.u16())
			}
			dst = append(dst, c.b[at:c.pos]...)
		case blockToken:
			c.bytes(c.u16())
			dst = append(dst, c.b[at:c.pos]...)
		default:
			tail = c.b[at:]
		}
	}
	var extra ttBlock
	dst = extra.close(appendExtra(dst, m, &extra))
	return append(dst, tail...), !extra.bad && !c.bad
}

func copyStrings(dst []byte, c *cursor, m *protocol.Message) []byte {
	var b ttBlock
	for n := c.u16(); n > 0 && !c.bad; n-- {
		key := c.bytes(c.u16())
		value := c.bytes(c.u16())
		if !hidden(m, key) {
			dst = b.addBytes(dst, key, value)
		}
	}
	return b.close(dst)
}
