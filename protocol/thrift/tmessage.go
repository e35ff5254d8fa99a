package thrift

import (
	"bytes"
	"encoding/binary"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// What can be wrong with a message header. Values: hostile input must not make the proxy allocate.
var (
	errShort    = defect("short", "the frame ends inside its message header")
	errVersion  = defect("bad_version", "the message begins with neither a version word nor a name")
	errNegative = defect("negative_size", "the method name announces a negative size")
	errVarint   = defect("bad_varint", "a number in the message header is longer than 32 bits")
	errName     = defect("name_too_long", "a method, service, version or caller name is longer than 1024 bytes")
	errFbthrift = &protocol.Error{
		Code: protocol.CodeUnsupported, Reason: "fbthrift_compact", Offset: -1,
		Detail: "compact protocol version 2 (fbthrift) is not spoken here; use version 1",
	}
)

func defect(reason, detail string) *protocol.Error {
	return &protocol.Error{Code: protocol.CodeProtocolError, Reason: reason, Detail: detail, Offset: -1}
}

// head is a TMessage without its body.
//
//	strict   80 01 00 type(1)  size(4) name  seq(4)            struct
//	lax      size(4) name      type(1)       seq(4)            struct
//	compact  82 type<<5|1      varint(seq)   varint(size) name struct
type head struct {
	typ  protocol.MessageType
	lax  bool
	seq  int32
	name []byte
	body int // offset of the struct
}

// parse reads the header at b[0]. need > 0: that many bytes must be there before it can be read. Where only the type
// is wrong the rest of h is filled in.
func (h *head) parse(b []byte, p protocol.Payload) (need int, e *protocol.Error) {
	if p == protocol.Compact {
		need, e = h.parseCompact(b)
	} else {
		need, e = h.parseBinary(b)
	}
	if need == 0 && e == nil && (h.typ < protocol.MessageCall || h.typ > protocol.MessageOneway) {
		e = protocol.ErrMessageType
	}
	return need, e
}

func (h *head) parseBinary(b []byte) (need int, e *protocol.Error) {
	if len(b) < 4 {
		return 4, nil
	}
	word := binary.BigEndian.Uint32(b)
	if word < 1<<31 {
		return h.parseLax(b, int(word))
	}
	if word>>16 != 0x8001 {
		return 0, errVersion
	}
	if len(b) < 8 {
		return 8, nil
	}
	n := int(int32(binary.BigEndian.Uint32(b[4:])))
	switch {
	case n < 0:
		return 0, errNegative
	case n > protocol.MaxName:
		return 0, errName
	case len(b) < 12+n:
		return 12 + n, nil
	}
	h.typ, h.lax = protocol.MessageType(b[3]), false
	h.name = b[8 : 8+n]
	h.seq = int32(binary.BigEndian.Uint32(b[8+n:]))
	h.body = 12 + n
	return 0, nil
}

func (h *head) parseLax(b []byte, n int) (need int, e *protocol.Error) {
	switch {
	case n > protocol.MaxName:
		return 0, errName
	case len(b) < 9+n:
		return 9 + n, nil
	}
	h.typ, h.lax = protocol.MessageType(b[4+n]), true
	h.name = b[4 : 4+n]
	h.seq = int32(binary.BigEndian.Uint32(b[5+n:]))
	h.body = 9 + n
	return 0, nil
}

func (h *head) parseCompact(b []byte) (need int, e *protocol.Error) {
	if len(b) < 2 {
		return 2, nil
	}
	switch {
	case b[0] != 0x82:
		return 0, errVersion
	case b[1]&0x1F == 2:
		return 0, errFbthrift
	case b[1]&0x1F != 1:
		return 0, errVersion
	}
	seq, sn := protocol.Varint32(b[2:])
	if sn <= 0 {
		return lacking(b, sn)
	}
	size, nn := protocol.Varint32(b[2+sn:])
	if nn <= 0 {
		return lacking(b, nn)
	}
	at := 2 + sn + nn
	switch {
	case int32(size) < 0:
		return 0, errNegative
	case size > protocol.MaxName:
		return 0, errName
	case len(b) < at+int(size):
		return at + int(size), nil
	}
	h.typ, h.lax = protocol.MessageType(b[1]>>5), false
	h.seq = int32(seq)
	h.body = at + int(size)
	h.name = b[at:h.body]
	return 0, nil
}

// lacking answers a varint that was not read: n is 0 (it is cut off) or negative (it is too long).
func lacking(b []byte, n int) (need int, e *protocol.Error) {
	if n < 0 {
		return 0, errVarint
	}
	return len(b) + 1, nil
}

// decode fills m from the message that is all of msg. m.Payload says which protocol it is in. A service that a header
// named before stays; "Service:" in the name counts only where none did.
func decode(m *protocol.Message, msg []byte, s *protocol.Scratch) error {
	var h head
	need, e := h.parse(msg, m.Payload)
	if need > 0 {
		e = errShort
	}
	if h.body == 0 {
		return e
	}
	m.Lax, m.MsgSeq = h.lax, h.seq
	m.Method = h.name
	if i := bytes.IndexByte(h.name, ':'); i >= 0 {
		if len(m.Service) == 0 {
			m.Service = h.name[:i]
		}
		m.Method, m.Prefixed = h.name[i+1:], true
	}
	if e != nil {
		return e
	}
	m.Type = h.typ
	if max(len(m.Service), len(m.Version), len(m.Caller)) > protocol.MaxName {
		return errName
	}
	m.Body = msg[h.body:]
	if m.IsCall() {
		return protocol.WalkExact(m.Payload, m.Body, &s.Walker)
	}
	return nil
}

// envelope is a TMessage that is to be written, without its body.
type envelope struct {
	payload protocol.Payload
	lax     bool
	typ     protocol.MessageType
	seq     int32
	service []byte // written as "service:" before the method where it is not empty
	method  []byte
}

func (v *envelope) append(dst []byte) []byte {
	size := len(v.method)
	if len(v.service) > 0 {
		size += len(v.service) + 1
	}
	switch {
	case v.payload == protocol.Compact:
		dst = append(dst, 0x82, byte(v.typ)<<5|1)
		dst = protocol.AppendVarint32(dst, uint32(v.seq))
		return v.appendName(protocol.AppendVarint32(dst, uint32(size)))
	case v.lax:
		dst = v.appendName(binary.BigEndian.AppendUint32(dst, uint32(size)))
		dst = append(dst, byte(v.typ))
	default:
		dst = append(dst, 0x80, 0x01, 0x00, byte(v.typ))
		dst = v.appendName(binary.BigEndian.AppendUint32(dst, uint32(size)))
	}
	return binary.BigEndian.AppendUint32(dst, uint32(v.seq))
}

func (v *envelope) appendName(dst []byte) []byte {
	if len(v.service) > 0 {
		dst = append(append(dst, v.service...), ':')
	}
	return append(dst, v.method...)
}
