package protocol

import "encoding/binary"

// varint reads a number of at most 32 or 64 bits.
func (t *transcoder) varint(wide bool) (v uint64, e *Error) {
	var n int
	if wide {
		v, n = varint64(t.src[t.pos:])
	} else {
		var u uint32
		u, n = Varint32(t.src[t.pos:])
		v = uint64(u)
	}
	switch {
	case n > 0:
		t.pos += n
		return v, nil
	case n == 0:
		return 0, errShort
	}
	return 0, errVarint
}

// count reads the varint size of a string or container.
func (t *transcoder) count() (int, *Error) {
	v, e := t.varint(false)
	if e == nil && int32(v) < 0 {
		return 0, errNegative
	}
	return int(v), e
}

// structToBinary re-writes one compact struct.
func (t *transcoder) structToBinary(depth int) *Error {
	if depth > MaxDepth {
		return errDepth
	}
	id := int16(0)
	for {
		b, e := t.take(1)
		if e != nil {
			return e
		}
		head := b[0]
		ct := head & 0x0F
		if head == cmpStop {
			return t.put(binStop)
		}
		if cmpToBin[ct] == 0 {
			return errType
		}
		if head >= 0x10 {
			id += int16(head >> 4)
		} else {
			v, e := t.varint(false)
			if e != nil {
				return e
			}
			id = int16(int32(v>>1) ^ -int32(v&1))
		}
		if e = t.put(cmpToBin[ct], byte(uint16(id)>>8), byte(id)); e != nil {
			return e
		}
		switch ct {
		case cmpTrue:
			e = t.put(1)
		case cmpFalse:
			e = t.put(0)
		default:
			e = t.toBinary(ct, depth)
		}
		if e != nil {
			return e
		}
	}
}

// toBinary re-writes one value of compact type ct; booleans are those of containers.
func (t *transcoder) toBinary(ct uint8, depth int) *Error {
	switch ct {
	case cmpStruct:
		return t.structToBinary(depth + 1)
	case cmpMap:
		return t.mapToBinary(depth + 1)
	case cmpSet, cmpList:
		return t.listToBinary(depth + 1)
	case cmpString:
		n, e := t.count()
		if e != nil {
			return e
		}
		if n > len(t.src)-t.pos {
			return errString
		}
		if e = t.put32(n); e != nil {
			return e
		}
		return t.copyBytes(n)
	case cmpI16, cmpI32, cmpI64:
		return t.numberToBinary(ct)
	}
	b, e := t.take(int(cmpWidth[ct]))
	if e != nil {
		return e
	}
	switch ct {
	case cmpTrue, cmpFalse:
		if b[0] == 1 {
			return t.put(1)
		}
		return t.put(0)
	case cmpDouble:
		return t.put(b[7], b[6], b[5], b[4], b[3], b[2], b[1], b[0])
	}
	return t.put(b...) // byte, UUID
}

func (t *transcoder) numberToBinary(ct uint8) *Error {
	v, e := t.varint(ct == cmpI64)
	if e != nil {
		return e
	}
	v = v>>1 ^ -(v & 1)
	switch ct {
	case cmpI16:
		return t.put(byte(v>>8), byte(v))
	case cmpI32:
		return t.put(byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	return t.put(b[:]...)
}

func (t *transcoder) put32(n int) *Error {
	return t.put(byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func (t *transcoder) listToBinary(depth int) *Error {
	if depth > MaxDepth {
		return errDepth
	}
	b, e := t.take(1)
	if e != nil {
		return e
	}
	ct, n := b[0]&0x0F, int(b[0]>>4)
	if n == 15 {
		if n, e = t.count(); e != nil {
			return e
		}
	}
	bt := cmpToBin[ct]
	switch {
	case n == 0 && ct == cmpStop:
		bt = binString // an empty list with no type: any will do
	case bt == 0:
		return errType
	case n*int(cmpMin[ct]) > len(t.src)-t.pos:
		return errList
	}
	if e = t.put(bt); e == nil {
		e = t.put32(n)
	}
	for ; n > 0 && e == nil; n-- {
		e = t.toBinary(ct, depth)
	}
	return e
}

// mapToBinary: an empty compact map is one zero byte and has lost its types; it becomes an empty map<string,string>.
func (t *transcoder) mapToBinary(depth int) *Error {
	if depth > MaxDepth {
		return errDepth
	}
	n, e := t.count()
	if e != nil {
		return e
	}
	if n == 0 {
		return t.put(binString, binString, 0, 0, 0, 0)
	}
	b, e := t.take(1)
	if e != nil {
		return e
	}
	kt, vt := b[0]>>4, b[0]&0x0F
	switch {
	case cmpToBin[kt] == 0 || cmpToBin[vt] == 0:
		return errType
	case n*int(cmpMin[kt]+cmpMin[vt]) > len(t.src)-t.pos:
		return errList
	}
	if e = t.put(cmpToBin[kt], cmpToBin[vt]); e == nil {
		e = t.put32(n)
	}
	for ; n > 0 && e == nil; n-- {
		if e = t.toBinary(kt, depth); e == nil {
			e = t.toBinary(vt, depth)
		}
	}
	return e
}
