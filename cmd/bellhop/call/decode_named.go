package call

import (
	"encoding/binary"
	"strconv"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/idl"
)

// named writes a value by the IDL's type. Where the wire has another type than the IDL (a newer server, the wrong file)
// it is written as typed JSON in its place: {"i64":7} shows what came instead of hiding it.
func (d *decoder) named(t *idl.Type, wire byte) {
	if wires[t.Kind] != wire || !d.fits(t) {
		d.wrapped(wire)
		return
	}
	switch t.Kind {
	case idl.Record:
		d.namedStruct(t.Struct)
	case idl.List, idl.Set:
		elem, n := d.u8(), int(d.u32())
		d.out = append(d.out, '[')
		for i := range n {
			d.comma(i)
			d.named(t.Elem, elem)
		}
		d.out = append(d.out, ']')
	case idl.Map:
		d.namedMap(t)
	case idl.Enumeration:
		d.enum(t.Enum, false)
	case idl.Bool:
		d.boolean(false)
	default:
		d.scalar(wire, t.Kind == idl.Binary, false)
	}
}

// fits looks at what a value of t says about itself before its content: the types in a container, and whether a string is
// text.
func (d *decoder) fits(t *idl.Type) bool {
	switch t.Kind {
	case idl.String:
		return d.text(d.pos)
	case idl.List, idl.Set:
		return d.b[d.pos] == wires[t.Elem.Kind] || binary.BigEndian.Uint32(d.b[d.pos+1:]) == 0
	case idl.Map:
		n := int(binary.BigEndian.Uint32(d.b[d.pos+2:]))
		return n == 0 || d.b[d.pos] == wires[t.Key.Kind] && d.b[d.pos+1] == wires[t.Elem.Kind] && d.keysFit(t, n)
	}
	return true
}

// keysFit reports whether all keys of a map<string, …> can be keys of an object.
func (d *decoder) keysFit(t *idl.Type, n int) bool {
	if t.Key.Kind != idl.String {
		return true
	}
	pos := d.pos + 6
	for range n {
		if !d.text(pos) {
			return false
		}
		pos = d.end(d.end(pos, wireString), wires[t.Elem.Kind])
	}
	return true
}

// namedStruct writes the fields that came. One that the IDL does not know has its id for a name, and its type with it.
func (d *decoder) namedStruct(s *idl.Struct) {
	d.out = append(d.out, '{')
	for i := 0; ; i++ {
		wire := d.u8()
		if wire == wireStop {
			break
		}
		d.comma(i)
		id := int16(d.u16())
		if f := s.ByID(id); f != nil {
			d.out = append(strconv.AppendQuote(d.out, f.Name), ':')
			d.named(f.Type, wire)
			continue
		}
		d.out = append(strconv.AppendQuote(d.out, strconv.Itoa(int(id))), ':')
		d.wrapped(wire)
	}
	d.out = append(d.out, '}')
}

func (d *decoder) namedMap(t *idl.Type) {
	key, value, n := d.u8(), d.u8(), int(d.u32())
	name := func() {
		switch t.Key.Kind {
		case idl.Enumeration:
			d.enum(t.Key.Enum, true)
		case idl.Bool:
			d.boolean(true)
		default:
			d.scalar(key, t.Key.Kind == idl.Binary, true)
		}
	}
	d.entries(n, simple(wires[t.Key.Kind]), name, func() { d.named(t.Key, key) }, func() { d.named(t.Elem, value) })
}

func (d *decoder) boolean(quoted bool) {
	v := d.u8() == 1
	if quoted {
		d.out = strconv.AppendQuote(d.out, strconv.FormatBool(v))
		return
	}
	d.out = strconv.AppendBool(d.out, v)
}

// enum writes a name where the number has one.
func (d *decoder) enum(e *idl.Enum, quoted bool) {
	v := int32(d.u32())
	name, ok := e.NameOf(v)
	switch {
	case ok:
		d.out = strconv.AppendQuote(d.out, name)
	case quoted:
		d.out = strconv.AppendQuote(d.out, strconv.Itoa(int(v)))
	default:
		d.out = strconv.AppendInt(d.out, int64(v), 10)
	}
}
