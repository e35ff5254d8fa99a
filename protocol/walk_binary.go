package protocol

import "encoding/binary"

// Wire types of TBinary.
const (
	binStop   = 0
	binBool   = 2
	binByte   = 3
	binDouble = 4
	binI16    = 6
	binI32    = 8
	binI64    = 10
	binString = 11
	binStruct = 12
	binMap    = 13
	binSet    = 14
	binList   = 15
	binUUID   = 16
)

// binWidth is the size of a fixed-width value, 0 for the others.
var binWidth = [256]uint8{binBool: 1, binByte: 1, binDouble: 8, binI16: 2, binI32: 4, binI64: 8, binUUID: 16}

// binMin is the least a value of this type takes on the wire, 0 for type numbers that Thrift does not define.
var binMin = [256]uint8{
	binBool: 1, binByte: 1, binDouble: 8, binI16: 2, binI32: 4, binI64: 8, binUUID: 16,
	binString: 4, binStruct: 1, binMap: 6, binSet: 5, binList: 5,
}

// binary walks until the outermost struct is closed or the bytes end.
func (w *Walker) binary(b []byte, pos int) (int, *Error) {
	var e *Error
	for w.depth > 0 {
		if w.stack[w.depth-1].key == 0 {
			pos, e = w.binaryFields(b, pos)
		} else {
			pos, e = w.binaryElems(b, pos)
		}
		if e != nil {
			return pos, e
		}
	}
	return pos, nil
}

// binaryFields walks the fields of the innermost struct and of structs inside it: type(1) id(2) value, up to a 0 byte.
// It returns when a container was opened, or when a struct inside a container or the outermost one was closed.
func (w *Walker) binaryFields(b []byte, pos int) (int, *Error) {
	for {
		if pos >= len(b) {
			return pos, w.lack(pos+1, shortStruct)
		}
		t := b[pos]
		if n := binWidth[t]; n != 0 {
			end := pos + 3 + int(n)
			if end > len(b) {
				return pos, w.lack(end, shortStruct)
			}
			pos = end
			continue
		}
		switch t {
		case binString:
			if pos+7 > len(b) {
				return pos, w.lack(pos+7, shortStruct)
			}
			n := int(int32(binary.BigEndian.Uint32(b[pos+3:])))
			if n < 0 {
				return pos, errNegative
			}
			end := pos + 7 + n
			if end > len(b)+w.more {
				return pos, w.lack(end, shortString)
			}
			pos = end
		case binStop:
			pos++
			w.depth--
			if w.depth == 0 || w.stack[w.depth-1].key != 0 {
				return pos, nil
			}
		case binStruct:
			if pos+3 > len(b) {
				return pos, w.lack(pos+3, shortStruct)
			}
			if e := w.push(frame{}); e != nil {
				return pos, e
			}
			pos += 3
		default:
			return w.binaryContainer(b, pos, pos+3, t)
		}
	}
}

// binaryElems walks the remaining elements of the innermost container, until one of them opens a struct or container.
func (w *Walker) binaryElems(b []byte, pos int) (int, *Error) {
	f := &w.stack[w.depth-1]
	for f.left > 0 {
		t := f.key
		if f.left&1 != 0 {
			t = f.val // maps hold an even number: keys come at even counts
		}
		if n := int(binWidth[t]); n != 0 {
			if pos+n > len(b) {
				return pos, w.lack(pos+n, shortStruct)
			}
			pos += n
			f.left--
			continue
		}
		switch t {
		case binString:
			if pos+4 > len(b) {
				return pos, w.lack(pos+4, shortStruct)
			}
			n := int(int32(binary.BigEndian.Uint32(b[pos:])))
			if n < 0 {
				return pos, errNegative
			}
			if pos+4+n > len(b)+w.more {
				return pos, w.lack(pos+4+n, shortString)
			}
			pos += 4 + n
			f.left--
		case binStruct:
			if e := w.push(frame{}); e != nil {
				return pos, e
			}
			f.left--
			return pos, nil
		default:
			next, e := w.binaryContainer(b, pos, pos, t)
			if e == nil {
				f.left--
			}
			return next, e
		}
	}
	w.depth--
	return pos, nil
}

// binaryContainer opens the container whose header begins at head; pos is the start of its token (a field header comes
// before the container's own). Containers of fixed-width elements are stepped over at once.
//
//	list, set: elem(1) count(4) …      map: key(1) value(1) count(4) …
func (w *Walker) binaryContainer(b []byte, pos, head int, t uint8) (int, *Error) {
	size := 5
	switch t {
	case binMap:
		size = 6
	case binSet, binList:
	default:
		return pos, errType
	}
	start := head + size
	if start > len(b) {
		return pos, w.lack(start, shortStruct)
	}
	key, val := b[head], b[start-5]
	count := int(int32(binary.BigEndian.Uint32(b[start-4:])))
	if count <= 0 {
		if count < 0 {
			return pos, errNegative
		}
		return start, w.full() // whatever its element types are: writers leave them 0 in empty containers
	}
	least := int(binMin[key])
	if least == 0 || binMin[val] == 0 {
		return pos, errType
	}
	fixed := binWidth[key] != 0 && binWidth[val] != 0
	if t == binMap {
		least += int(binMin[val])
	}
	end := start + count*least
	if end > len(b)+w.more {
		return pos, w.lack(end, shortList)
	}
	if fixed {
		// No depth is spent: nothing can nest in it.
		return end, w.full()
	}
	if t == binMap {
		count *= 2
	}
	return start, w.push(frame{left: uint32(count), key: key, val: val})
}

// full refuses a container at the depth limit that is stepped over without being pushed.
func (w *Walker) full() *Error {
	if w.depth == MaxDepth {
		return errDepth
	}
	return nil
}
