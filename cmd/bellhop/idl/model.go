package idl

import (
	"fmt"
	"sort"
	"strings"
)

// Kind is what a type is on the wire and how a person writes it.
type Kind uint8

// The kinds. Typedefs are followed; an enum is an i32, binary a string on the wire.
const (
	Bool Kind = iota + 1
	I8
	I16
	I32
	I64
	Double
	String
	Binary
	UUID
	List
	Set
	Map
	Record // struct, union or exception
	Enumeration
)

// Type is a type with its references followed. Structs may refer to themselves, so a walk along types has to follow
// values, not types.
type Type struct {
	Kind   Kind
	Name   string // as errors call it: "i32", "list<Point>", "Color"
	Key    *Type  // of a map
	Elem   *Type  // of a list or set; the value of a map
	Struct *Struct
	Enum   *Enum
}

// Struct is a struct, a union, an exception, or the arguments or results of a method.
type Struct struct {
	Name   string
	Union  bool
	Fields []*Field // as written
}

// Field is one field, argument or thrown exception.
type Field struct {
	ID       int16
	Name     string
	Type     *Type
	Required bool
	Optional bool
	// Default is the value that a generated caller would send, as JSON by names; nil without one.
	Default []byte
}

// Field finds a field by its name; nil when there is none.
func (s *Struct) Field(name string) *Field {
	for _, f := range s.Fields {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// ByID finds a field by its id; nil when there is none.
func (s *Struct) ByID(id int16) *Field {
	for _, f := range s.Fields {
		if f.ID == id {
			return f
		}
	}
	return nil
}

// Enum is an enum's values by name and back.
type Enum struct {
	Name   string
	values map[string]int32
	names  map[int32]string
}

// Value finds the number of a name, with or without the enum's own name before it.
func (e *Enum) Value(name string) (int32, bool) {
	if i := strings.LastIndexByte(name, '.'); i >= 0 && (name[:i] == e.Name || strings.HasSuffix(e.Name, "."+name[:i])) {
		name = name[i+1:]
	}
	v, ok := e.values[name]
	return v, ok
}

// NameOf finds the first name of a number.
func (e *Enum) NameOf(v int32) (string, bool) {
	n, ok := e.names[v]
	return n, ok
}

// Names lists the names by number.
func (e *Enum) Names() []string {
	names := make([]string, 0, len(e.values))
	for n := range e.values {
		names = append(names, n)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := e.values[names[i]], e.values[names[j]]
		return a < b || a == b && names[i] < names[j]
	})
	return names
}

// Method is one method of a service.
type Method struct {
	Name   string
	Oneway bool
	Args   *Struct
	Result *Struct // field 0 is success, absent for void; the others are the declared exceptions
}

// Service is a service and what it extends.
type Service struct {
	Name    string
	extends *Service
	methods []*Method
}

// Method finds a method, also of the services that this one extends; nil when there is none.
func (s *Service) Method(name string) *Method {
	for ; s != nil; s = s.extends {
		for _, m := range s.methods {
			if m.Name == name {
				return m
			}
		}
	}
	return nil
}

// Methods lists all names, its own first.
func (s *Service) Methods() []string {
	var names []string
	for ; s != nil; s = s.extends {
		for _, m := range s.methods {
			names = append(names, m.Name)
		}
	}
	return names
}

// Program is one file with all that it includes.
type Program struct {
	File     string
	services []*Service
	root     *file
}

// Service finds a service of the file by its name, or of an included file as include.Name. The error lists what there
// is.
func (p *Program) Service(name string) (*Service, error) {
	if d := p.root.lookup(name); d != nil && d.service != nil {
		return d.service, nil
	}
	names := make([]string, 0, len(p.services))
	for _, s := range p.services {
		names = append(names, s.Name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s defines no service", p.File)
	}
	return nil, fmt.Errorf("%s has no service %q; it has %s", p.File, name, strings.Join(names, ", "))
}

// Services lists the file's own services, as written.
func (p *Program) Services() []*Service { return p.services }
