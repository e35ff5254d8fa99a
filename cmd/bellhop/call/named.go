package call

import (
	"encoding/binary"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/idl"
)

// encodeNamed turns JSON by names into a TBinary struct of at most max bytes.
func encodeNamed(text []byte, s *idl.Struct, max int) ([]byte, error) {
	in, err := newSource(text)
	if err != nil {
		return nil, err
	}
	e := &encoder{in: in, max: max}
	root := &path{}
	if err := e.namedStruct(s, 1, root); err != nil {
		return nil, err
	}
	if err := in.finish(); err != nil {
		return nil, err
	}
	return e.out, e.room(root, 0)
}

// named writes a value of any type.
func (e *encoder) named(t *idl.Type, depth int, p *path) error {
	switch t.Kind {
	case idl.Record:
		return e.namedStruct(t.Struct, depth+1, p)
	case idl.List, idl.Set:
		return e.namedList(t, depth+1, p)
	case idl.Map:
		return e.namedMap(t, depth+1, p)
	}
	tok, err := e.in.next()
	if err != nil {
		return err
	}
	if t.Kind == idl.Enumeration {
		return e.enum(t.Enum, tok, p)
	}
	return e.scalar(t.Kind, tok, p)
}

func (e *encoder) enum(enum *idl.Enum, t json.Token, p *path) error {
	name, ok := t.(string)
	if !ok {
		if _, number := t.(json.Number); !number {
			return p.want("a name or number of "+enum.Name, t)
		}
		return e.scalar(idl.I32, t, p) // a number that the IDL does not know may be known to the server
	}
	v, ok := enum.Value(name)
	if !ok {
		return p.errorf("%s has no %s; it has %s", enum.Name, describe(t), listed(enum.Names()))
	}
	e.out = binary.BigEndian.AppendUint32(e.out, uint32(v))
	return nil
}

// maxListed bounds the names that an error lists.
const maxListed = 20

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	if len(names) > maxListed {
		names = append(append([]string{}, names[:maxListed]...), "…")
	}
	return strings.Join(names, ", ")
}

// namedStruct reads {"name": "bob", …}. null is a field that is left out; a field that is left out and has a default is
// sent with it, as generated callers do it, unless it is optional.
func (e *encoder) namedStruct(s *idl.Struct, depth int, p *path) error {
	if err := e.begin(depth, p); err != nil {
		return err
	}
	if err := e.in.open('{', p, "an object with the fields of "+s.Name); err != nil {
		return err
	}
	return e.namedFields(s, depth, p)
}

func (e *encoder) namedFields(s *idl.Struct, depth int, p *path) error {
	seen := map[string]bool{}
	for e.in.more() {
		name, err := e.in.key()
		if err != nil {
			return err
		}
		f := s.Field(name)
		q := p.field(name)
		if f == nil {
			return p.field(name).errorf("there is no such field in %s; it has %s", s.Name, listed(fieldNames(s)))
		}
		if _, twice := seen[name]; twice {
			return q.errorf("the field is there twice")
		}
		start := len(e.out)
		e.fieldHead(wires[f.Type.Kind], f.ID)
		absent, err := e.unlessNull(f.Type, depth, q)
		if err != nil {
			return err
		}
		if seen[name] = !absent; absent {
			e.out = e.out[:start]
		}
	}
	if err := e.in.end(p, "an object"); err != nil {
		return err
	}
	if err := e.left(s, seen, depth, p); err != nil {
		return err
	}
	e.out = append(e.out, wireStop)
	return nil
}

// unlessNull writes a field's value. null has to be seen before the value is read for what it should be.
func (e *encoder) unlessNull(t *idl.Type, depth int, p *path) (absent bool, err error) {
	if !e.nullNext() {
		return false, e.named(t, depth, p)
	}
	_, err = e.in.next()
	return true, err
}

// nullNext looks at the byte that the next token begins with: no other value begins with n.
func (e *encoder) nullNext() bool {
	at := e.in.ahead()
	return at < len(e.in.text) && e.in.text[at] == 'n'
}

// left is about the fields that were left out.
func (e *encoder) left(s *idl.Struct, seen map[string]bool, depth int, p *path) error {
	if s.Union {
		n := 0
		for _, is := range seen {
			if is {
				n++
			}
		}
		if n != 1 {
			return p.errorf("the union %s has one field at a time, here are %d; it has %s", s.Name, n, listed(fieldNames(s)))
		}
		return nil
	}
	for _, f := range s.Fields {
		q := p.field(f.Name)
		switch {
		case seen[f.Name]:
		case f.Default != nil && !f.Optional:
			d := &encoder{in: &source{}, out: e.out, max: e.max}
			in, err := newSource(f.Default)
			if err != nil {
				return q.errorf("its default: %v", err)
			}
			d.in = in
			d.fieldHead(wires[f.Type.Kind], f.ID)
			if err := d.named(f.Type, depth, q); err != nil {
				return err
			}
			e.out = d.out
		case f.Required:
			return q.errorf("the field is required: give a value of type %s", f.Type.Name)
		}
	}
	return nil
}

func fieldNames(s *idl.Struct) []string {
	names := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		names[i] = f.Name
	}
	return names
}

func (e *encoder) namedList(t *idl.Type, depth int, p *path) error {
	if err := e.begin(depth, p); err != nil {
		return err
	}
	if err := e.in.open('[', p, "a list of "+t.Elem.Name); err != nil {
		return err
	}
	e.out = append(e.out, wires[t.Elem.Kind])
	at, n := e.hole(), 0
	for ; e.in.more(); n++ {
		if err := e.named(t.Elem, depth, p.at(n)); err != nil {
			return err
		}
	}
	e.fill(at, n)
	return e.in.end(p, "a list")
}

func (e *encoder) namedMap(t *idl.Type, depth int, p *path) error {
	if err := e.begin(depth, p); err != nil {
		return err
	}
	e.out = append(e.out, wires[t.Key.Kind], wires[t.Elem.Kind])
	at := e.hole()
	key := func(q *path) error { return e.named(t.Key, depth, q) }
	value := func(q *path) error { return e.named(t.Elem, depth, q) }
	n, err := e.entries(p, e.namedKey(t.Key), key, value)
	if err == nil {
		e.fill(at, n)
	}
	return err
}

// namedKey says how the string that is a key in JSON becomes one on the wire; nil: a struct or container can't be one.
func (e *encoder) namedKey(t *idl.Type) func(string, *path) error {
	switch {
	case t.Kind == idl.Enumeration:
		return func(name string, q *path) error {
			if _, err := strconv.ParseInt(name, 10, 32); err == nil {
				return e.mapKey(idl.I32, name, q)
			}
			return e.enum(t.Enum, name, q)
		}
	case scalars[t.Kind] != "":
		return func(name string, q *path) error { return e.mapKey(t.Kind, name, q) }
	}
	return nil
}
