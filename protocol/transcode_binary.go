package protocol

import "encoding/binary"

var errTooLarge = &Error{
	Code: CodeTooLarge, Reason: "too_large", Offset: -1,
	Detail: "the message would be larger than the frame cap in the peer's protocol",
}

// transcoder re-writes one value tree. It recurses at most MaxDepth levels and trusts nothing: the replies of servers
// are transcoded without having been walked.
type transcoder struct {
	src   []byte
	pos   int
	dst   []byte
	limit int // len(dst) may not pass this
}

// binToCmp and cmpToBin map element types; 0 where there is none.
var (
	binToCmp = [256]uint8{
		binBool: cmpTrue, binByte: cmpByte, binDouble: cmpDouble, binI16: cmpI16, binI32: cmpI32, binI64: cmpI64,
		binString: cmpString, binStruct: cmpStruct, binMap: cmpMap, binSet: cmpSet, binList: cmpList, binUUID: cmpUUID,
	}
	cmpToBin = [16]uint8{
		cmpTrue: binBool, cmpFalse: binBool, cmpByte: binByte, cmpDouble: binDouble, cmpI16: binI16, cmpI32: binI32,
		cmpI64: binI64, cmpString: binString, cmpStruct: binStruct, cmpMap: binMap, cmpSet: binSet, cmpList: binList,
		cmpUUID: binUUID,
	}
)

// take returns the next n bytes of the source.
func (t *transcoder) take(n int) ([]byte, *Error) {
	if n > len(t.src)-t.pos {
		return nil, errShort
	}
	b := t.src[t.pos : t.pos+n]
	t.pos += n
	return b, nil
}

// put appends a few bytes, a value at most.
func (t *transcoder) put(b ...byte) *Error {
	if len(t.dst)+len(b) > t.limit {
		return errTooLarge
	}
	t.dst = append(t.dst, b...)
	return nil
}

func (t *transcoder) putVarint(v uint64) *Error {
	if len(t.dst)+10 > t.limit && len(t.dst)+varintLen(v) > t.limit {
		return errTooLarge
	}
	t.dst = binary.AppendUvarint(t.dst, v)
	return nil
}

func varintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// copyBytes takes n bytes of string contents over. The bound comes before the copy.
func (t *transcoder) copyBytes(n int) *Error {
	b, e := t.take(n)
	if e != nil {
		return errString
	}
	return t.put(b...)
}

// size32 reads the four-byte size of a string or container.
func (t *transcoder) size32() (int, *Error) {
	b, e := t.take(4)
	if e != nil {
		return 0, e
	}
	n := int32(binary.BigEndian.Uint32(b))
	if n < 0 {
		return 0, errNegative
	}
	return int(n), nil
}

// structToCompact re-writes one binary struct. A field's id is a delta of 1–15 to the field before it, or absolute.
func (t *transcoder) structToCompact(depth int) *Error {
	if depth > MaxDepth {
		return errDepth
	}
	last := int16(0)
	for {
		b, e := t.take(1)
		if e != nil {
			return e
		}
		bt := b[0]
		if bt == binStop {
			return t.put(cmpStop)
		}
		ct := binToCmp[bt]
		if ct == 0 {
			return errType
		}
		if b, e = t.take(2); e != nil {
			return e
		}
		id := int16(binary.BigEndian.Uint16(b))
		if bt == binBool {
			if b, e = t.take(1); e != nil {
				return e
			}
			ct = cmpBool(b[0])
		}
		if e = t.putFieldHead(ct, last, id); e != nil {
			return e
		}
		last = id
		if bt == binBool {
			continue
		}
		if e = t.toCompact(bt, depth); e != nil {
			return e
		}
	}
}

// cmpBool is how compact writes a binary boolean: only 1 is true, as Go and Java read it.
func cmpBool(b byte) byte {
	if b == 1 {
		return cmpTrue
	}
	return cmpFalse
}

func (t *transcoder) putFieldHead(ct uint8, last, id int16) *Error {
	if d := int32(id) - int32(last); d >= 1 && d <= 15 {
		return t.put(byte(d)<<4 | ct)
	}
	if e := t.put(ct); e != nil {
		return e
	}
	return t.putVarint(zigzag32(int32(id)))
}

func zigzag32(v int32) uint64 { return uint64(uint32(v<<1) ^ uint32(v>>31)) }

// toCompact re-writes one value of binary type bt that is not a boolean in a field header.
func (t *transcoder) toCompact(bt uint8, depth int) *Error {
	switch bt {
	case binStruct:
		return t.structToCompact(depth + 1)
	case binMap:
		return t.mapToCompact(depth + 1)
	case binSet, binList:
		return t.listToCompact(depth + 1)
	case binString:
		n, e := t.size32()
		if e != nil {
			return e
		}
		if e = t.putVarint(uint64(n)); e != nil {
			return e
		}
		return t.copyBytes(n)
	}
	b, e := t.take(int(binWidth[bt]))
	if e != nil {
		return e
	}
	switch bt {
	case binBool:
		return t.put(cmpBool(b[0]))
	case binI16:
		return t.putVarint(zigzag32(int32(int16(binary.BigEndian.Uint16(b)))))
	case binI32:
		return t.putVarint(zigzag32(int32(binary.BigEndian.Uint32(b))))
	case binI64:
		v := int64(binary.BigEndian.Uint64(b))
		return t.putVarint(uint64(v<<1) ^ uint64(v>>63))
	case binDouble:
		return t.put(b[7], b[6], b[5], b[4], b[3], b[2], b[1], b[0])
	}
	return t.put(b...) // byte, UUID
}

func (t *transcoder) listToCompact(depth int) *Error {
	if depth > MaxDepth {
		return errDepth
	}
	b, e := t.take(1)
	if e != nil {
		return e
	}
	bt := b[0]
	n, e := t.size32()
	if e != nil {
		return e
	}
	ct := binToCmp[bt]
	switch {
	case ct == 0 && n == 0:
		ct = cmpString // an empty list with no type: any will do
	case ct == 0:
		return errType
	case n*int(binMin[bt]) > len(t.src)-t.pos:
		return errList
	}
	if n <= 14 {
		e = t.put(byte(n)<<4 | ct)
	} else if e = t.put(0xF0 | ct); e == nil {
		e = t.putVarint(uint64(n))
	}
	for ; n > 0 && e == nil; n-- {
		e = t.toCompact(bt, depth)
	}
	return e
}

func (t *transcoder) mapToCompact(depth int) *Error {
	if depth > MaxDepth {
		return errDepth
	}
	b, e := t.take(2)
	if e != nil {
		return e
	}
	kt, vt := b[0], b[1]
	n, e := t.size32()
	if e != nil {
		return e
	}
	if n == 0 {
		return t.put(0)
	}
	switch {
	case binToCmp[kt] == 0 || binToCmp[vt] == 0:
		return errType
	case n*int(binMin[kt]+binMin[vt]) > len(t.src)-t.pos:
		return errList
	}
	if e = t.putVarint(uint64(n)); e == nil {
		e = t.put(binToCmp[kt]<<4 | binToCmp[vt])
	}
	for ; n > 0 && e == nil; n-- {
		if e = t.toCompact(kt, depth); e == nil {
			e = t.toCompact(vt, depth)
		}
	}
	return e
}
