package thrift

import (
	"encoding/binary"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// theaderWriter writes a THeader from the model, for a message of another framing or one whose header has to change.
type theaderWriter struct {
	payload protocol.Payload
	zlib    bool
	seq     int32
	osp     []byte // an OSP header in the message's own protocol, to travel in bellhop-osp-header
}

// append writes everything before the payload.
func (w *theaderWriter) append(dst []byte, m *protocol.Message, s *protocol.Scratch) ([]byte, *protocol.Error) {
	base := len(dst)
	var flags uint16
	if m.Framing == protocol.THeader {
		flags = binary.BigEndian.Uint16(m.Frame[offFlags:])
	}
	dst = append(startHeader(dst, magicTHeader, flags, w.seq), protocolID(w.payload))
	if w.zlib {
		dst = append(dst, 1, transformZlib)
	} else {
		dst = append(dst, 0)
	}
	at := len(dst)
	dst = append(dst, infoKeyValue, 0)
	n := 0
	dst = appendModel(dst, m, &n)
	dst, e := w.appendOSP(dst, m, s, &n)
	if e != nil {
		return dst[:base], e
	}
	for i := range m.Info {
		if kv := &m.Info[i]; !overridden(m, kv.Key) {
			dst = appendEntry(dst, kv.Key, kv.Value)
			n++
		}
	}
	for i := range m.Extra {
		dst = appendEntry(dst, m.Extra[i].Key, m.Extra[i].Value)
		n++
	}
	dst = setCount(dst, at, n)
	if m.Framing == protocol.THeader {
		dst = append(dst, theaderTail(m.Header)...)
	}
	return sealHeader(dst, base)
}

// setCount writes the number of entries of the block that begins at dst[at]; an empty block is taken away.
func setCount(dst []byte, at, n int) []byte {
	switch {
	case n == 0:
		return dst[:at]
	case n < 0x80:
		dst[at+1] = byte(n)
		return dst
	}
	dst = append(dst, 0) // the count takes two bytes: move the entries up by one
	copy(dst[at+3:], dst[at+2:])
	dst[at+1], dst[at+2] = byte(n)|0x80, byte(n>>7)
	return dst
}

// appendModel writes the keys of wire.md §5. Replies name neither service nor caller, unless a THeader server did.
func appendModel(dst []byte, m *protocol.Message, n *int) []byte {
	if m.IsCall() || m.Framing == protocol.THeader {
		dst = appendIf(dst, keyService, m.Service, n)
		dst = appendIf(dst, keyVersion, m.Version, n)
		dst = appendIf(dst, keyCaller, m.Caller, n)
		if m.Timeout > 0 {
			var b [20]byte
			dst = appendIf(dst, keyTimeout, appendTimeout(b[:0], m.Timeout), n)
		}
	}
	return appendIf(dst, keyTrace, m.Trace, n)
}

func appendIf(dst []byte, key string, value []byte, n *int) []byte {
	if len(value) == 0 {
		return dst
	}
	*n++
	return appendEntry(dst, key, value)
}

func appendEntry[K, V string | []byte](dst []byte, key K, value V) []byte {
	dst = append(protocol.AppendVarint32(dst, uint32(len(key))), key...)
	return append(protocol.AppendVarint32(dst, uint32(len(value))), value...)
}

// appendOSP writes bellhop-osp-header, in the payload's protocol.
func (w *theaderWriter) appendOSP(dst []byte, m *protocol.Message, s *protocol.Scratch, n *int) ([]byte, *protocol.Error) {
	h := w.osp
	if m.Framing == protocol.THeader {
		h = m.OSPHeader
	}
	if len(h) == 0 {
		return dst, nil
	}
	if m.Payload != w.payload {
		f := flateOf(s)
		var err error
		if f.msg, err = protocol.Transcode(f.scratch(), m.Payload, w.payload, h, protocol.MaxHeader); err != nil {
			return dst, errHeaderSize
		}
		h = f.msg
	}
	*n++
	return appendEntry(dst, keyOSPHeader, h), nil
}
