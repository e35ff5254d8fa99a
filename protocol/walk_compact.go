package protocol

// Wire types of TCompact. In a field header the two booleans carry the value; inside containers the specification says
// 2 and the libraries write 1, so both are one byte that holds 1 (true) or anything else.
const (
	cmpStop   = 0
	cmpTrue   = 1
	cmpFalse  = 2
	cmpByte   = 3
	cmpI16    = 4
	cmpI32    = 5
	cmpI64    = 6
	cmpDouble = 7
	cmpString = 8
	cmpList   = 9
	cmpSet    = 10
	cmpMap    = 11
	cmpStruct = 12
	cmpUUID   = 13
)

// cmpWidth is the size of a fixed-width element, 0 for the others.
var cmpWidth = [16]uint8{cmpTrue: 1, cmpFalse: 1, cmpByte: 1, cmpDouble: 8, cmpUUID: 16}

// cmpMin is the least an element of this type takes on the wire, 0 for type numbers that Thrift does not define.
var cmpMin = [16]uint8{
	cmpTrue: 1, cmpFalse: 1, cmpByte: 1, cmpDouble: 8, cmpUUID: 16, cmpI16: 1, cmpI32: 1, cmpI64: 1,
	cmpString: 1, cmpList: 1, cmpSet: 1, cmpMap: 1, cmpStruct: 1,
}

// Varint32 reads an unsigned LEB128 number of at most 32 bits. n is its length; 0: b ends inside it; -1: it is longer
// than 32 bits. Longer ones are refused although some libraries cut them, because they cut them differently: a length
// that two readers understand differently is how one call could run into the next.
func Varint32(b []byte) (v uint32, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint32(b[0]), 1
	}
	for i := range min(len(b), 5) {
		c := b[i]
		if i == 4 && c > 0x0F {
			return 0, -1
		}
		v |= uint32(c&0x7F) << (7 * i)
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// varint64 is Varint32 for 64 bits.
func varint64(b []byte) (v uint64, n int) {
	for i := range min(len(b), 10) {
		c := b[i]
		if i == 9 && c > 1 {
			return 0, -1
		}
		v |= uint64(c&0x7F) << (7 * i)
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// AppendVarint32 appends v as unsigned LEB128.
func AppendVarint32(dst []byte, v uint32) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// skipVarint steps over a number of type t (i16, i32 or i64) at pos.
func (w *Walker) skipVarint(b []byte, pos int, t uint8) (int, *Error) {
	var n int
	if t == cmpI64 {
		_, n = varint64(b[pos:])
	} else {
		_, n = Varint32(b[pos:])
	}
	return w.stepped(b, pos, n)
}

// stepped turns the n of a varint at pos into the position behind it.
func (w *Walker) stepped(b []byte, pos, n int) (int, *Error) {
	switch {
	case n > 0:
		return pos + n, nil
	case n == 0:
		return pos, w.lack(len(b)+1, shortStruct)
	}
	return pos, errVarint
}

// compact walks until the outermost struct is closed or the bytes end.
func (w *Walker) compact(b []byte, pos int) (int, *Error) {
	var e *Error
	for w.depth > 0 {
		if w.stack[w.depth-1].key == 0 {
			pos, e = w.compactFields(b, pos)
		} else {
			pos, e = w.compactElems(b, pos)
		}
		if e != nil {
			return pos, e
		}
	}
	return pos, nil
}

// compactFields walks the fields of the innermost struct and of structs inside it, up to a 0 byte.
//
//	delta<<4|type (delta 1–15) value      0<<4|type zigzag-varint(id) value
func (w *Walker) compactFields(b []byte, pos int) (int, *Error) {
	for {
		if pos >= len(b) {
			return pos, w.lack(pos+1, shortStruct)
		}
		head, t := pos+1, b[pos]&0x0F
		if b[pos] < 0x10 && t != cmpStop {
			var e *Error
			if head, e = w.skipVarint(b, head, cmpI16); e != nil {
				return pos, e
			}
		}
		switch t {
		case cmpStop:
			if b[pos] != 0 {
				return pos, errType // some readers take it for a stop, some for a field
			}
			pos = head
			w.depth--
			if w.depth == 0 || w.stack[w.depth-1].key != 0 {
				return pos, nil
			}
		case cmpTrue, cmpFalse:
			pos = head
		case cmpStruct:
			if e := w.push(frame{}); e != nil {
				return pos, e
			}
			pos = head
		case cmpList, cmpSet, cmpMap:
			return w.compactContainer(b, pos, head, t)
		default:
			end, e := w.compactScalar(b, head, t)
			if e != nil {
				return pos, e
			}
			pos = end
		}
	}
}

// compactScalar steps over one value that is neither a struct nor a container.
func (w *Walker) compactScalar(b []byte, pos int, t uint8) (int, *Error) {
	if n := int(cmpWidth[t]); n != 0 {
		if pos+n > len(b) {
			return pos, w.lack(pos+n, shortStruct)
		}
		return pos + n, nil
	}
	switch t {
	case cmpI16, cmpI32, cmpI64:
		return w.skipVarint(b, pos, t)
	case cmpString:
		size, n := Varint32(b[pos:])
		if n <= 0 {
			return w.stepped(b, pos, n)
		}
		if int32(size) < 0 {
			return pos, errNegative
		}
		end := pos + n + int(size)
		if end > len(b)+w.more {
			return pos, w.lack(end, shortString)
		}
		return end, nil
	}
	return pos, errType
}

// compactElems walks the remaining elements of the innermost container, until one of them opens a struct or container.
func (w *Walker) compactElems(b []byte, pos int) (int, *Error) {
	f := &w.stack[w.depth-1]
	for f.left > 0 {
		t := f.key
		if f.left&1 != 0 {
			t = f.val // maps hold an even number: keys come at even counts
		}
		if pos > len(b) { // behind a string that has not come to its end yet
			return pos, w.lack(pos+1, shortStruct)
		}
		switch t {
		case cmpStruct:
			if e := w.push(frame{}); e != nil {
				return pos, e
			}
			f.left--
			return pos, nil
		case cmpList, cmpSet, cmpMap:
			next, e := w.compactContainer(b, pos, pos, t)
			if e == nil {
				f.left--
			}
			return next, e
		}
		next, e := w.compactScalar(b, pos, t)
		if e != nil {
			return pos, e
		}
		pos = next
		f.left--
	}
	w.depth--
	return pos, nil
}

// compactContainer opens the container whose header begins at head; pos is the start of its token. Containers of
// fixed-width elements are stepped over at once.
//
//	list, set: count<<4|elem (count 0–14) …      F<<4|elem varint(count) …
//	map:       varint(count) key<<4|value …      0
func (w *Walker) compactContainer(b []byte, pos, head int, t uint8) (int, *Error) {
	c, start, e := w.compactHead(b, head, t)
	if e != nil {
		return pos, e
	}
	if c.left == 0 {
		return start, w.full()
	}
	least := int(cmpMin[c.key])
	if least == 0 || cmpMin[c.val] == 0 {
		return pos, errType
	}
	count := int(c.left)
	if t == cmpMap {
		least += int(cmpMin[c.val])
		c.left *= 2
	}
	if end := start + count*least; end > len(b)+w.more {
		return pos, w.lack(end, shortList)
	} else if cmpWidth[c.key] != 0 && cmpWidth[c.val] != 0 {
		return end, w.full()
	}
	return start, w.push(c)
}

// compactHead reads a container's header: its types and its count.
func (w *Walker) compactHead(b []byte, pos int, t uint8) (c frame, start int, e *Error) {
	if pos >= len(b) {
		return c, pos, w.lack(pos+1, shortStruct)
	}
	first := b[pos]
	if t != cmpMap {
		c.key, c.val = first&0x0F, first&0x0F
		if c.key > cmpUUID {
			return c, pos, errType
		}
		if first < 0xF0 {
			c.left = uint32(first >> 4)
			return c, pos + 1, nil
		}
		pos++
	}
	count, n := Varint32(b[pos:])
	if pos, e = w.stepped(b, pos, n); e != nil {
		return c, pos, e
	}
	if int32(count) < 0 {
		return c, pos, errNegative
	}
	c.left = count
	if t != cmpMap || count == 0 {
		return c, pos, nil
	}
	if pos >= len(b) {
		return c, pos, w.lack(pos+1, shortStruct)
	}
	c.key, c.val = b[pos]>>4, b[pos]&0x0F
	return c, pos + 1, nil
}
