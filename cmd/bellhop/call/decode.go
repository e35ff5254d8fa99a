package call

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/idl"
	"github.com/bellhop-mesh/bellhop/protocol"
)

// decoder turns a TBinary struct into JSON. The struct is walked before the decoder sees it, so that it is well-formed,
// at most protocol.MaxDepth deep, and every read below is inside it; what is written is bounded by what was read, times
// six.
type decoder struct {
	b    []byte
	pos  int
	out  []byte
	walk protocol.Walker
}

func newDecoder(body []byte) (*decoder, error) {
	d := &decoder{b: body}
	if err := protocol.WalkExact(protocol.Binary, body, &d.walk); err != nil {
		return nil, fmt.Errorf("the reply's body: %w", err)
	}
	return d, nil
}

// decodeTyped turns a TBinary struct into typed JSON.
func decodeTyped(body []byte) ([]byte, error) {
	d, err := newDecoder(body)
	if err != nil {
		return nil, err
	}
	d.typedStruct()
	return d.out, nil
}

func (d *decoder) u8() byte {
	d.pos++
	return d.b[d.pos-1]
}

func (d *decoder) u16() uint16 {
	d.pos += 2
	return binary.BigEndian.Uint16(d.b[d.pos-2:])
}

func (d *decoder) u32() uint32 {
	d.pos += 4
	return binary.BigEndian.Uint32(d.b[d.pos-4:])
}

func (d *decoder) u64() uint64 {
	d.pos += 8
	return binary.BigEndian.Uint64(d.b[d.pos-8:])
}

func (d *decoder) bytes() []byte {
	n := int(d.u32())
	d.pos += n
	return d.b[d.pos-n : d.pos]
}

// end is where the value of this type that begins at pos ends.
func (d *decoder) end(pos int, wire byte) int {
	n, err := protocol.Skip(protocol.Binary, wire, d.b[pos:], &d.walk)
	if err != nil {
		panic("call: a body that was walked is not well-formed: " + err.Error())
	}
	return pos + n
}

func (d *decoder) comma(i int) {
	if i > 0 {
		d.out = append(d.out, ',')
	}
}

// wireWords has the words of typed JSON by wire type; "str" stands for strings that are text.
var wireWords = [...]string{
	wireBool: "tf", wireI8: "i8", wireI16: "i16", wireI32: "i32", wireI64: "i64", wireDouble: "dbl", wireString: "str",
	wireStruct: "rec", wireMap: "map", wireSet: "set", wireList: "lst", wireUUID: "uid",
}

// wordOf is "" for the type of an empty container's elements, which may be any byte.
func wordOf(wire byte) string {
	if int(wire) < len(wireWords) {
		return wireWords[wire]
	}
	return ""
}

func (d *decoder) typedStruct() {
	d.out = append(d.out, '{')
	for i := 0; ; i++ {
		wire := d.u8()
		if wire == wireStop {
			break
		}
		d.comma(i)
		d.out = append(strconv.AppendInt(append(d.out, '"'), int64(int16(d.u16())), 10), `":`...)
		d.wrapped(wire)
	}
	d.out = append(d.out, '}')
}

// wrapped writes {"i32":7}.
func (d *decoder) wrapped(wire byte) {
	word := wordOf(wire)
	if wire == wireString && !d.text(d.pos) {
		word = "bin"
	}
	d.out = append(append(append(d.out, `{"`...), word...), `":`...)
	d.typedValue(wire, word == "bin")
	d.out = append(d.out, '}')
}

// text reports whether the string at pos is UTF-8.
func (d *decoder) text(pos int) bool {
	n := int(binary.BigEndian.Uint32(d.b[pos:]))
	return utf8.Valid(d.b[pos+4 : pos+4+n])
}

// typedValue writes a value whose type was said. bin: strings are bytes.
func (d *decoder) typedValue(wire byte, bin bool) {
	switch wire {
	case wireStruct:
		d.typedStruct()
	case wireList, wireSet:
		d.typedList()
	case wireMap:
		d.typedMap()
	default:
		d.scalar(wire, bin, false)
	}
}

// scalar writes a value that is neither a struct nor a container; quoted, when it is a key of an object.
func (d *decoder) scalar(wire byte, bin, quoted bool) {
	switch wire {
	case wireString:
		d.str(d.bytes(), bin)
		return
	case wireUUID:
		u := d.b[d.pos : d.pos+16]
		d.pos += 16
		d.out = fmt.Appendf(d.out, `"%x-%x-%x-%x-%x"`, u[:4], u[4:6], u[6:8], u[8:10], u[10:])
		return
	case wireDouble:
		d.double(math.Float64frombits(d.u64()), quoted)
		return
	}
	if quoted {
		d.out = append(d.out, '"')
	}
	switch wire {
	case wireBool:
		if d.u8() == 1 {
			d.out = append(d.out, '1')
		} else {
			d.out = append(d.out, '0')
		}
	case wireI8:
		d.out = strconv.AppendInt(d.out, int64(int8(d.u8())), 10)
	case wireI16:
		d.out = strconv.AppendInt(d.out, int64(int16(d.u16())), 10)
	case wireI32:
		d.out = strconv.AppendInt(d.out, int64(int32(d.u32())), 10)
	case wireI64:
		d.out = strconv.AppendInt(d.out, int64(d.u64()), 10)
	}
	if quoted {
		d.out = append(d.out, '"')
	}
}

func (d *decoder) double(v float64, quoted bool) {
	switch {
	case math.IsNaN(v):
		d.out = append(d.out, `"NaN"`...)
	case math.IsInf(v, 1):
		d.out = append(d.out, `"Infinity"`...)
	case math.IsInf(v, -1):
		d.out = append(d.out, `"-Infinity"`...)
	case quoted:
		d.out = append(strconv.AppendFloat(append(d.out, '"'), v, 'g', -1, 64), '"')
	default:
		d.out = strconv.AppendFloat(d.out, v, 'g', -1, 64)
	}
}

func (d *decoder) str(b []byte, bin bool) {
	if bin {
		d.out = append(base64.StdEncoding.AppendEncode(append(d.out, '"'), b), '"')
		return
	}
	d.out = appendString(d.out, b)
}

// appendString writes a JSON string of UTF-8 bytes. Control characters are escaped, DEL and C1 too: the reply of a
// server must not be able to move a terminal's cursor.
func appendString(dst, b []byte) []byte {
	dst = append(dst, '"')
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		default:
			dst = append(dst, b[:n]...)
		}
		b = b[n:]
	}
	return append(dst, '"')
}

// typedList writes ["i32",3,10,20,30].
func (d *decoder) typedList() {
	elem, n := d.u8(), int(d.u32())
	bin := elem == wireString && !d.texts(d.pos, n)
	d.head(elem, bin)
	d.out = append(d.out, ',')
	d.out = strconv.AppendInt(d.out, int64(n), 10)
	for range n {
		d.out = append(d.out, ',')
		d.typedValue(elem, bin)
	}
	d.out = append(d.out, ']')
}

// texts reports whether the n strings from pos on are all UTF-8.
func (d *decoder) texts(pos, n int) bool {
	for range n {
		if !d.text(pos) {
			return false
		}
		pos = d.end(pos, wireString)
	}
	return true
}

// head opens a container with the word of its first type. An empty one may have any type byte: it is a list of strings
// then, which nobody can tell from it.
func (d *decoder) head(wire byte, bin bool) {
	d.out = append(d.out, '[')
	d.wordHere(wire, bin)
}

func (d *decoder) wordHere(wire byte, bin bool) {
	word := wordOf(wire)
	if word == "" {
		word = "str"
	}
	if bin {
		word = "bin"
	}
	d.out = append(append(append(d.out, '"'), word...), '"')
}

// typedMap writes ["str","i64",1,{"a":1}], or pairs where keys are structs or containers.
func (d *decoder) typedMap() {
	key, value, n := d.u8(), d.u8(), int(d.u32())
	keyBin, valueBin := d.bins(key, value, n)
	d.head(key, keyBin)
	d.out = append(d.out, ',')
	d.wordHere(value, valueBin)
	d.out = append(d.out, ',')
	d.out = strconv.AppendInt(d.out, int64(n), 10)
	d.out = append(d.out, ',')
	d.entries(n, simple(key), func() { d.scalar(key, keyBin, true) }, func() { d.typedValue(key, keyBin) },
		func() { d.typedValue(value, valueBin) })
	d.out = append(d.out, ']')
}

// simple reports whether a value of this type can be a key of a JSON object.
func simple(wire byte) bool {
	return wire != wireStruct && wire != wireMap && wire != wireSet && wire != wireList
}

// entries writes n entries as an object, or as a list of pairs.
func (d *decoder) entries(n int, object bool, name, key, value func()) {
	brackets := "[]"
	if object {
		brackets = "{}"
	}
	d.out = append(d.out, brackets[0])
	for i := range n {
		d.comma(i)
		if object {
			name()
			d.out = append(d.out, ':')
			value()
			continue
		}
		d.out = append(d.out, '[')
		key()
		d.out = append(d.out, ',')
		value()
		d.out = append(d.out, ']')
	}
	d.out = append(d.out, brackets[1])
}

// bins tells which of a map's keys and values have to be written as bytes.
func (d *decoder) bins(key, value byte, n int) (keyBin, valueBin bool) {
	if key != wireString && value != wireString {
		return false, false
	}
	pos := d.pos
	for range n {
		keyBin = keyBin || key == wireString && !d.text(pos)
		pos = d.end(pos, key)
		valueBin = valueBin || value == wireString && !d.text(pos)
		pos = d.end(pos, value)
	}
	return keyBin, valueBin
}

// outcome of a result struct by an IDL.
type outcome struct {
	result    []byte // JSON; "null" for void
	exception string // the type of a declared exception; result is its value then
}

// decodeResult reads a result struct by its IDL. Field 0 is the result; any other field is a declared exception, also
// one that this IDL does not know yet.
func decodeResult(body []byte, s *idl.Struct) (o outcome, ok bool, err error) {
	d, err := newDecoder(body)
	if err != nil {
		return o, false, err
	}
	void := s.ByID(0) == nil
	for {
		wire := d.u8()
		if wire == wireStop {
			break
		}
		id := int16(d.u16())
		f := s.ByID(id)
		d.out = nil
		switch {
		case f == nil:
			d.wrapped(wire)
			o.exception = fmt.Sprintf("field %d", id)
			if id == 0 {
				o.exception = ""
			}
		default:
			d.named(f.Type, wire)
			if id != 0 {
				o.exception = f.Type.Name
			}
		}
		o.result = d.out
		if o.exception != "" {
			return o, true, nil
		}
	}
	if o.result == nil && void {
		o.result = []byte("null")
	}
	return o, o.result != nil, nil
}
