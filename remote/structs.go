package remote

import (
	"encoding/binary"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// TBinary types of the structs that the hello uses.
const (
	tI32    = 8
	tI64    = 10
	tString = 11
	tStruct = 12
	tList   = 15
)

// field is one field of a TBinary struct: num for i32 and i64, raw for strings and (with the stop byte) structs.
type field struct {
	typ byte
	num int64
	raw []byte
}

// fields calls f for each field of a TBinary struct; fields of other types are skipped.
//
//	type(1) id(2) value … 00
func fields(b []byte, f func(id int16, v field) error) error {
	var w protocol.Walker
	if err := protocol.WalkExact(protocol.Binary, b, &w); err != nil {
		return err
	}
	for b[0] != 0 {
		id, v := int16(binary.BigEndian.Uint16(b[1:])), field{typ: b[0]}
		n, err := valueLen(b, &w)
		if err != nil {
			return err
		}
		val := b[3 : 3+n]
		switch v.typ {
		case tI32:
			v.num = int64(int32(binary.BigEndian.Uint32(val)))
		case tI64:
			v.num = int64(binary.BigEndian.Uint64(val))
		case tString:
			v.raw = val[4:]
		case tStruct, tList:
			v.raw = val
		}
		if err := f(id, v); err != nil {
			return err
		}
		b = b[3+n:]
	}
	return nil
}

// valueLen is the length of the first field's value: b was walked, so a walk of the field and a stop byte is safe.
func valueLen(b []byte, w *protocol.Walker) (int, error) {
	switch b[0] {
	case tI32:
		return 4, nil
	case tI64:
		return 8, nil
	case tString:
		return 4 + int(binary.BigEndian.Uint32(b[3:])), nil
	case tStruct:
		return protocol.Walk(protocol.Binary, b[3:], w)
	case tList: // elem type(1) count(4) …; only list<string> (features)
		n := 5
		for left := int(binary.BigEndian.Uint32(b[4:])); left > 0 && b[3] == tString; left-- {
			n += 4 + int(binary.BigEndian.Uint32(b[3+n:]))
		}
		if b[3] == tString {
			return n, nil
		}
	}
	return 0, &protocol.Error{Code: protocol.CodeProtocolError, Reason: "unexpected_type", Detail: "hello and grant carry i32, i64, string, list<string> and struct only", Offset: -1}
}

func appendHead(dst []byte, typ byte, id int16) []byte {
	return binary.BigEndian.AppendUint16(append(dst, typ), uint16(id))
}

func appendI32(dst []byte, id int16, v int32) []byte {
	return binary.BigEndian.AppendUint32(appendHead(dst, tI32, id), uint32(v))
}

func appendI64(dst []byte, id int16, v int64) []byte {
	return binary.BigEndian.AppendUint64(appendHead(dst, tI64, id), uint64(v))
}

func appendString(dst []byte, id int16, s string) []byte {
	dst = binary.BigEndian.AppendUint32(appendHead(dst, tString, id), uint32(len(s)))
	return append(dst, s...)
}

// stringList reads a walked list<string>.
func stringList(b []byte) []string {
	var out []string
	for left, b := binary.BigEndian.Uint32(b[1:]), b[5:]; left > 0; left-- {
		n := 4 + binary.BigEndian.Uint32(b)
		out = append(out, string(b[4:n]))
		b = b[n:]
	}
	return out
}
