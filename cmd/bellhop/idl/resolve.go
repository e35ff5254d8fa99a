package idl

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"
)

var baseTypes = map[string]*Type{
	"bool": {Kind: Bool, Name: "bool"}, "byte": {Kind: I8, Name: "i8"}, "i8": {Kind: I8, Name: "i8"},
	"i16": {Kind: I16, Name: "i16"}, "i32": {Kind: I32, Name: "i32"}, "i64": {Kind: I64, Name: "i64"},
	"double": {Kind: Double, Name: "double"}, "string": {Kind: String, Name: "string"},
	"binary": {Kind: Binary, Name: "binary"}, "uuid": {Kind: UUID, Name: "uuid"},
}

// resolve follows every reference of the root and its includes, so that whatever is wrong in them is told now and not
// with the first call that needs it.
func resolve(root *file) (*Program, error) {
	p := &Program{File: root.path, root: root}
	done := map[*file]bool{}
	var walk func(f *file) error
	walk = func(f *file) error {
		if done[f] {
			return nil
		}
		done[f] = true
		for _, inc := range f.includes {
			if err := walk(inc); err != nil {
				return err
			}
		}
		return f.resolve()
	}
	if err := walk(root); err != nil {
		return nil, err
	}
	for _, e := range root.doc.Entries {
		if e.Service != nil {
			p.services = append(p.services, root.names[e.Service.Name].service)
		}
	}
	return p, nil
}

// resolve follows the references of one file, in the order they are written. Types come first: the default of a field
// may be of a type that is written below it.
func (f *file) resolve() error {
	for _, e := range f.doc.Entries {
		d := f.names[nameOf(e)]
		if d == nil || d.constant != nil || d.node != nil {
			continue
		}
		if _, err := d.resolveType(d.pos); err != nil {
			return err
		}
	}
	for _, fill := range []func(*definition) error{(*definition).fields, (*definition).defaults, (*definition).rest} {
		for _, e := range f.doc.Entries {
			if d := f.names[nameOf(e)]; d != nil {
				if err := fill(d); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func nameOf(e *entry) string {
	switch {
	case e.Const != nil:
		return e.Const.Name
	case e.Typedef != nil:
		return e.Typedef.Name
	case e.Enum != nil:
		return e.Enum.Name
	case e.Struct != nil:
		return e.Struct.Name
	case e.Service != nil:
		return e.Service.Name
	}
	return ""
}

// resolveType returns the type that d names; a struct's fields are filled in later, because they may lead back to it.
func (d *definition) resolveType(from lexer.Position) (*Type, error) {
	switch {
	case d.typ != nil:
		return d.typ, nil
	case d.resolving:
		return nil, at(from, "the typedef %s leads back to itself", d.name)
	case d.record != nil:
		d.typ = &Type{Kind: Record, Name: d.name, Struct: &Struct{Name: d.name, Union: d.record.Kind == "union"}}
		return d.typ, nil
	case d.enumNode != nil:
		e, err := newEnum(d.enumNode)
		d.typ = &Type{Kind: Enumeration, Name: d.name, Enum: e}
		return d.typ, err
	case d.typedef != nil:
		d.resolving = true
		t, err := d.file.typeOf(d.typedef.Type)
		d.resolving = false
		d.typ = t
		return t, err
	}
	return nil, at(from, "%s is not a type", d.name)
}

// typeOf follows a written type. Its nesting was bounded by scan, typedefs by typeDepth.
func (f *file) typeOf(n *typeNode) (*Type, error) {
	want := map[string]int{"map": 2, "list": 1, "set": 1}[n.Name]
	if len(n.Args) != want {
		return nil, at(n.Pos, "%s takes %d types in angle brackets, not %d", n.Name, want, len(n.Args))
	}
	if want == 0 {
		return f.named(n)
	}
	args := make([]*Type, len(n.Args))
	names := make([]string, len(n.Args))
	for i, a := range n.Args {
		t, err := f.typeOf(a)
		if err != nil {
			return nil, err
		}
		args[i], names[i] = t, t.Name
	}
	t := &Type{Name: n.Name + "<" + strings.Join(names, ",") + ">", Elem: args[len(args)-1]}
	if len(t.Name) > 1<<10 { // typedefs of typedefs double it with each line
		return nil, at(n.Pos, "the type is longer than 1024 characters when its typedefs are written out: use a struct")
	}
	switch n.Name {
	case "list":
		t.Kind = List
	case "set":
		t.Kind = Set
	default:
		t.Kind, t.Key = Map, args[0]
	}
	return t, nil
}

func (f *file) named(n *typeNode) (*Type, error) {
	if t := baseTypes[n.Name]; t != nil {
		return t, nil
	}
	d := f.lookup(n.Name)
	if d == nil {
		if n.Name == "void" {
			return nil, at(n.Pos, "void is what a method may return, and nothing else")
		}
		return nil, at(n.Pos, "there is no type %s: define it, or include the file that does", n.Name)
	}
	if d.constant != nil || d.node != nil {
		return nil, at(n.Pos, "%s is not a type", n.Name)
	}
	return d.resolveType(n.Pos)
}

func newEnum(n *enumNode) (*Enum, error) {
	e := &Enum{Name: n.Name, values: map[string]int32{}, names: map[int32]string{}}
	next := int64(0)
	for _, v := range n.Values {
		if v.Value != nil {
			var err error
			if next, err = parseInt(*v.Value); err != nil {
				return nil, at(v.Pos, "%s: %v", v.Name, err)
			}
		}
		if next < math.MinInt32 || next > math.MaxInt32 {
			return nil, at(v.Pos, "%s is %d: an enum's values are 32 bits", v.Name, next)
		}
		if _, twice := e.values[v.Name]; twice {
			return nil, at(v.Pos, "%s has %s twice: remove one", n.Name, v.Name)
		}
		e.values[v.Name] = int32(next)
		if _, known := e.names[int32(next)]; !known {
			e.names[int32(next)] = v.Name
		}
		next++
	}
	return e, nil
}

// parseInt reads a Thrift integer: decimal (a leading 0 is no octal) or hexadecimal, with a sign.
func parseInt(s string) (int64, error) {
	digits, base := strings.TrimLeft(s, "+-"), 10
	if len(digits) > 2 && (digits[1] == 'x' || digits[1] == 'X') {
		digits, base = digits[2:], 16
	}
	if strings.HasPrefix(s, "-") {
		digits = "-" + digits
	}
	v, err := strconv.ParseInt(digits, base, 64)
	if err != nil {
		return 0, fmt.Errorf("%s does not fit 64 bits", s)
	}
	return v, nil
}

// fields fills in a struct.
func (d *definition) fields() error {
	if d.record == nil {
		return nil
	}
	fields, err := d.file.fieldsOf(d.name, d.record.Fields)
	d.typ.Struct.Fields = fields
	return err
}

// fieldsOf resolves the fields of owner, without their defaults. Fields without ids count down from −1, as Thrift's own
// compiler does it.
func (f *file) fieldsOf(owner string, nodes []*fieldNode) ([]*Field, error) {
	fields := make([]*Field, 0, len(nodes))
	ids, names := map[int16]bool{}, map[string]bool{}
	auto := int64(0)
	for _, n := range nodes {
		t, err := f.typeOf(n.Type)
		if err != nil {
			return nil, err
		}
		id := auto - 1
		if n.ID == nil {
			auto--
		} else if id, err = parseInt(*n.ID); err != nil || id < math.MinInt16 || id > math.MaxInt16 {
			return nil, at(n.Pos, "the id of field %s does not fit 16 bits", n.Name)
		}
		if ids[int16(id)] {
			return nil, at(n.Pos, "%s has id %d twice: give %s another", owner, id, n.Name)
		}
		if names[n.Name] {
			return nil, at(n.Pos, "%s has the name %s twice: rename one", owner, n.Name)
		}
		ids[int16(id)], names[n.Name] = true, true
		fields = append(fields, &Field{ID: int16(id), Name: n.Name, Type: t, Required: n.Need == "required", Optional: n.Need == "optional"})
	}
	return fields, nil
}

// rest resolves services and checks constants.
func (d *definition) rest() error {
	switch {
	case d.constant != nil:
		t, err := d.file.typeOf(d.constant.Type)
		if err == nil {
			_, err = d.file.value(t, d.constant.Value)
		}
		return err
	case d.node != nil:
		_, err := d.resolveService(d.pos)
		return err
	}
	return nil
}

func (d *definition) resolveService(from lexer.Position) (*Service, error) {
	if d.service != nil {
		return d.service, nil
	}
	if d.resolving {
		return nil, at(from, "the service %s extends itself", d.name)
	}
	d.resolving = true
	defer func() { d.resolving = false }()
	s := &Service{Name: d.name}
	if ref := d.node.Extends; ref != nil {
		base := d.file.lookup(ref.Name)
		if base == nil || base.node == nil {
			return nil, at(ref.Pos, "there is no service %s to extend: define it, or include the file that does", ref.Name)
		}
		var err error
		if s.extends, err = base.resolveService(ref.Pos); err != nil {
			return nil, err
		}
	}
	for _, n := range d.node.Methods {
		m, err := d.file.method(n)
		if err != nil {
			return nil, err
		}
		if s.Method(m.Name) != nil {
			return nil, at(n.Pos, "%s has the method %s twice: rename one", d.name, m.Name)
		}
		s.methods = append(s.methods, m)
	}
	d.service = s
	return s, nil
}

func (f *file) method(n *functionNode) (*Method, error) {
	m := &Method{Name: n.Name, Oneway: n.Oneway}
	args, err := f.fieldsOf(n.Name, n.Args)
	if err == nil {
		m.Args = &Struct{Name: n.Name + "_args", Fields: args}
		err = f.defaultsOf(args, n.Args)
	}
	if err != nil {
		return nil, err
	}
	throws, err := f.fieldsOf(n.Name+" throws", n.Throws)
	if err != nil {
		return nil, err
	}
	for i, t := range throws {
		if t.Type.Kind != Record {
			return nil, at(n.Throws[i].Pos, "%s throws a %s: only an exception can be thrown", n.Name, t.Type.Name)
		}
		if t.ID == 0 {
			return nil, at(n.Throws[i].Pos, "%s throws %s with id 0, which is the result's: give it another", n.Name, t.Name)
		}
	}
	m.Result = &Struct{Name: n.Name + "_result", Fields: throws}
	if n.Returns.Name == "void" && len(n.Returns.Args) == 0 {
		return m, nil
	}
	if n.Oneway {
		return nil, at(n.Pos, "%s is oneway and returns something: return void", n.Name)
	}
	t, err := f.typeOf(n.Returns)
	m.Result.Fields = append([]*Field{{ID: 0, Name: "success", Type: t}}, throws...)
	return m, err
}
