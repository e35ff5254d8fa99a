package osp

import (
	"encoding/binary"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// TBinary's type numbers; TCompact's are translated to them when a header is read.
const (
	tBool   byte = 2
	tByte   byte = 3
	tDouble byte = 4
	tI16    byte = 6
	tI32    byte = 8
	tI64    byte = 10
	tString byte = 11
	tStruct byte = 12
	tMap    byte = 13
	tSet    byte = 14
	tList   byte = 15
	tUUID   byte = 16
)

// compactTypes[n] is the TBinary number of compact type n; 0 where compact has no such type.
var compactTypes = [16]byte{
	1: tBool, 2: tBool, 3: tByte, 4: tI16, 5: tI32, 6: tI64, 7: tDouble, 8: tString, 9: tList, 10: tSet, 11: tMap,
	12: tStruct, 13: tUUID,
}

// fields steps over the fields of one header struct. protocol.Walk has been over well-formed headers before; fields
// checks every bound again all the same, because it also reads what can be read of a header that Walk refused.
//
//	TBinary   type(1) id(2) value … 00
//	TCompact  delta<<4|type value, or type zig-zag-id value when the delta is not 1…15; … 00
type fields struct {
	p     protocol.Payload
	b     []byte
	pos   int // where the next field begins; after the last one, behind the stop byte
	depth int

	id      int32 // of the current field
	typ     byte  // its type, in TBinary's numbers
	val     int   // where its value begins; it ends at pos
	stopped bool  // the stop byte was reached
}

// next goes to the next field. false: the stop byte (stopped), or bytes that are no field.
func (f *fields) next() bool {
	if f.pos >= len(f.b) {
		return false
	}
	head := f.b[f.pos]
	if head == 0 {
		f.stopped, f.pos = true, f.pos+1
		return false
	}
	if f.p == protocol.Compact {
		if !f.compactHead(head) {
			return false
		}
		if f.typ == tBool { // its value rides in the type
			f.pos = f.val
			return true
		}
	} else {
		if f.pos+3 > len(f.b) {
			return false
		}
		f.typ, f.id, f.val = head, int32(int16(binary.BigEndian.Uint16(f.b[f.pos+1:]))), f.pos+3
	}
	n := valueSize(f.p, f.b[f.val:], f.typ, f.depth)
	if n < 0 {
		return false
	}
	f.pos = f.val + n
	return true
}

func (f *fields) compactHead(head byte) bool {
	f.typ, f.val = compactTypes[head&0x0f], f.pos+1
	if delta := int32(head >> 4); delta != 0 {
		f.id = int32(int16(f.id + delta))
		return f.typ != 0
	}
	v, n := binary.Uvarint(f.b[f.val:])
	if n <= 0 {
		return false
	}
	f.id, f.val = int32(int16(v>>1)^-int16(v&1)), f.val+n
	return f.typ != 0
}

// value is the current field's value.
func (f *fields) value() []byte { return f.b[f.val:f.pos:f.pos] }

// str is the current field's value as a string; nil when it is none (wrong types are skipped).
func (f *fields) str() []byte {
	if f.typ != tString {
		return nil
	}
	s, _ := readString(f.p, f.value())
	return s
}

// num is the current field's value as an integer; ok is false when it is of another type.
func (f *fields) num(typ byte) (v int64, ok bool) {
	if f.typ != typ {
		return 0, false
	}
	b := f.value()
	switch {
	case f.p == protocol.Compact:
		u, _ := binary.Uvarint(b)
		return int64(u>>1) ^ -int64(u&1), true
	case typ == tI32:
		return int64(int32(binary.BigEndian.Uint32(b))), true
	case typ == tI64:
		return int64(binary.BigEndian.Uint64(b)), true
	default:
		return 0, false
	}
}

// valueSize is the length of the value of this type at b[0], -1 when b does not hold a whole one.
func valueSize(p protocol.Payload, b []byte, typ byte, depth int) int {
	if depth >= protocol.MaxDepth {
		return -1
	}
	if n := fixedSize(p, typ); n > 0 {
		if n > len(b) {
			return -1
		}
		return n
	}
	switch typ {
	case tI16, tI32, tI64: // compact only: TBinary's are fixed
		if _, n := binary.Uvarint(b); n > 0 {
			return n
		}
		return -1
	case tString:
		_, n := readString(p, b)
		return n
	case tStruct:
		f := fields{p: p, b: b, depth: depth + 1}
		for f.next() { //nolint:revive // stepping is all that is wanted
		}
		if !f.stopped {
			return -1
		}
		return f.pos
	case tMap, tSet, tList:
		return containerSize(p, b, typ, depth)
	default:
		return -1
	}
}

// fixedSize is the size of the types whose values all have one size, else 0. In compact it is that of an element: a
// boolean field has no bytes of its own.
func fixedSize(p protocol.Payload, typ byte) int {
	switch typ {
	case tBool, tByte:
		return 1
	case tDouble:
		return 8
	case tUUID:
		return 16
	}
	if p == protocol.Compact {
		return 0
	}
	switch typ {
	case tI16:
		return 2
	case tI32:
		return 4
	case tI64:
		return 8
	}
	return 0
}

func containerSize(p protocol.Payload, b []byte, typ byte, depth int) int {
	key, elem, count, pos := containerHead(p, b, typ)
	if pos < 0 {
		return -1
	}
	for range count {
		if key != 0 {
			n := valueSize(p, b[pos:], key, depth+1)
			if n < 0 {
				return -1
			}
			pos += n
		}
		n := valueSize(p, b[pos:], elem, depth+1)
		if n < 0 {
			return -1
		}
		pos += n
	}
	return pos
}

// containerHead reads the head of a map (key and elem types), set or list (key is 0). pos is where the elements begin,
// -1 when the head is not whole or announces more elements than there are bytes.
//
//	TBinary   map: key(1) elem(1) count(4)                     set, list: elem(1) count(4)
//	TCompact  map: count varint, key<<4|elem unless it is 0    set, list: count<<4|elem, or F<<4|elem count varint
func containerHead(p protocol.Payload, b []byte, typ byte) (key, elem byte, count, pos int) {
	if p != protocol.Compact {
		head := 5
		if typ == tMap {
			head = 6
		}
		if len(b) < head {
			return 0, 0, 0, -1
		}
		if typ == tMap {
			key = b[0]
		}
		elem, count, pos = b[head-5], int(int32(binary.BigEndian.Uint32(b[head-4:]))), head
	} else if key, elem, count, pos = compactHead(b, typ); pos < 0 {
		return 0, 0, 0, -1
	}
	if count < 0 || count > len(b)-pos {
		return 0, 0, 0, -1
	}
	return key, elem, count, pos
}

func compactHead(b []byte, typ byte) (key, elem byte, count, pos int) {
	if len(b) == 0 {
		return 0, 0, 0, -1
	}
	if typ != tMap {
		elem = compactTypes[b[0]&0x0f]
		if b[0]>>4 != 0x0f {
			return 0, elem, int(b[0] >> 4), 1
		}
		v, n := binary.Uvarint(b[1:])
		if n <= 0 || v > uint64(len(b)) {
			return 0, 0, 0, -1
		}
		return 0, elem, int(v), 1 + n
	}
	v, n := binary.Uvarint(b)
	switch {
	case n <= 0 || v > uint64(len(b)):
		return 0, 0, 0, -1
	case v == 0:
		return tString, tString, 0, n // an empty map does not say its types
	case len(b) <= n:
		return 0, 0, 0, -1
	}
	return compactTypes[b[n]>>4], compactTypes[b[n]&0x0f], int(v), n + 1
}

// readString returns the string at b[0] and how many bytes it takes with its length, -1 when b ends before it does.
func readString(p protocol.Payload, b []byte) (s []byte, n int) {
	var size uint64
	if p == protocol.Compact {
		if size, n = binary.Uvarint(b); n <= 0 {
			return nil, -1
		}
	} else {
		if len(b) < 4 {
			return nil, -1
		}
		size, n = uint64(binary.BigEndian.Uint32(b)), 4
	}
	if size > uint64(len(b)-n) {
		return nil, -1
	}
	end := n + int(size)
	return b[n:end:end], end
}

// pairs steps over the entries of a map<string,string>.
type pairs struct {
	p    protocol.Payload
	b    []byte
	left int
}

// stringMap opens the current field as a map<string,string>; ok is false when it is of another type.
func (f *fields) stringMap() (m pairs, ok bool) {
	if f.typ != tMap {
		return pairs{}, false
	}
	b := f.value()
	key, elem, count, pos := containerHead(f.p, b, tMap)
	if pos < 0 || count > 0 && (key != tString || elem != tString) {
		return pairs{}, false
	}
	return pairs{p: f.p, b: b[pos:], left: count}, true
}

// next returns the next entry; ok is false behind the last one.
func (m *pairs) next() (k, v []byte, ok bool) {
	if m.left == 0 {
		return nil, nil, false
	}
	k, n := readString(m.p, m.b)
	if n < 0 {
		return nil, nil, false
	}
	v, size := readString(m.p, m.b[n:])
	if size < 0 {
		return nil, nil, false
	}
	m.b, m.left = m.b[n+size:], m.left-1
	return k, v, true
}
