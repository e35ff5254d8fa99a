package protocol

import "encoding/binary"

// AppException reads a TApplicationException: struct {1: string message, 2: i32 type} in any field order; fields it
// does not know are skipped. ok is false when body is not exactly one struct; a struct without the fields has an empty
// message and type AppUnknown, as Apache's readers have it. msg is a view into body. Safe for concurrent use.
func AppException(body []byte, p Payload) (msg []byte, typ int32, ok bool) {
	var w Walker
	if WalkExact(p, body, &w) != nil {
		return nil, 0, false
	}
	if p == Compact {
		msg, typ = compactException(body, &w)
	} else {
		msg, typ = binaryException(body, &w)
	}
	return msg, typ, true
}

// binaryException reads a body that was walked, so every offset is inside it.
func binaryException(b []byte, w *Walker) (msg []byte, typ int32) {
	for b[0] != binStop {
		t, id, v := b[0], binary.BigEndian.Uint16(b[1:]), b[3:]
		switch {
		case id == 1 && t == binString:
			msg = v[4 : 4+binary.BigEndian.Uint32(v)]
		case id == 2 && t == binI32:
			typ = int32(binary.BigEndian.Uint32(v))
		}
		n, _ := Skip(Binary, t, v, w)
		b = v[n:]
	}
	return msg, typ
}

// compactException reads a body that was walked.
func compactException(b []byte, w *Walker) (msg []byte, typ int32) {
	id := int16(0)
	for b[0] != cmpStop {
		head, n := b[0], 1
		if head >= 0x10 {
			id += int16(head >> 4)
		} else {
			v, l := Varint32(b[1:])
			id, n = int16(int32(v>>1)^-int32(v&1)), 1+l
		}
		switch t := head & 0x0F; {
		case id == 1 && t == cmpString:
			size, l := Varint32(b[n:])
			msg = b[n+l : n+l+int(size)]
		case id == 2 && t == cmpI32:
			v, _ := Varint32(b[n:])
			typ = int32(v>>1) ^ -int32(v&1)
		}
		l, _ := Skip(Compact, head&0x0F, b[n:], w)
		b = b[n+l:]
	}
	return msg, typ
}

// AppendAppException appends struct {1: string message, 2: i32 type}.
func AppendAppException(dst []byte, p Payload, msg string, typ int32) []byte {
	return appendException(dst, p, "", msg, typ)
}

// AppendException appends what a fault is in Thrift: the struct of AppendAppException with f.Text, without making that text.
// Proxies that have too much to do make many of them.
func (f Fault) AppendException(dst []byte, p Payload) []byte {
	return appendException(dst, p, f.prefix(), f.Message, f.Code.AppType())
}

// appendException appends a message in two parts.
func appendException(dst []byte, p Payload, prefix, msg string, typ int32) []byte {
	n := uint32(len(prefix) + len(msg))
	if p == Compact {
		dst = AppendVarint32(append(dst, 1<<4|cmpString), n)
		dst = append(append(append(dst, prefix...), msg...), 1<<4|cmpI32)
		return append(AppendVarint32(dst, uint32(zigzag32(typ))), cmpStop)
	}
	dst = binary.BigEndian.AppendUint32(append(dst, binString, 0, 1), n)
	dst = append(append(append(dst, prefix...), msg...), binI32, 0, 2)
	return append(binary.BigEndian.AppendUint32(dst, uint32(typ)), binStop)
}
