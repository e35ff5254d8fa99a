package idl

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// maxDefault bounds one value written out: constants that refer to constants double with each line.
const maxDefault = 1 << 20

var uuidShape = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
})

// defaults checks and writes out the defaults of a struct's fields.
func (d *definition) defaults() error {
	if d.record == nil {
		return nil
	}
	return d.file.defaultsOf(d.typ.Struct.Fields, d.record.Fields)
}

func (f *file) defaultsOf(fields []*Field, nodes []*fieldNode) (err error) {
	for i, n := range nodes {
		if n.Default == nil {
			continue
		}
		if fields[i].Default, err = f.value(fields[i].Type, n.Default); err != nil {
			return err
		}
	}
	return nil
}

// value writes a constant out as JSON by names, in the form that `bellhop call --idl` takes: enums by name, binary in
// base64, maps whose keys are no strings in JSON as lists of pairs.
func (f *file) value(t *Type, c *constant) ([]byte, error) {
	w := constWriter{}
	if err := w.put(f, t, c, 0); err != nil {
		return nil, err
	}
	return w.out, nil
}

type constWriter struct{ out []byte }

func (w *constWriter) put(f *file, t *Type, c *constant, depth int) error {
	switch {
	case depth > maxDepth:
		return at(c.Pos, "a value nested deeper than %d levels, or one that leads back to itself", maxDepth)
	case len(w.out) > maxDefault:
		return at(c.Pos, "a value of more than 1 MiB when its constants are written out")
	case c.Name != nil:
		return w.name(f, t, c, depth)
	}
	switch t.Kind {
	case Bool, I8, I16, I32, I64, Enumeration:
		return w.integer(t, c)
	case Double:
		return w.double(t, c)
	case String, Binary, UUID:
		return w.text(t, c)
	case Record:
		return w.record(f, t, c, depth)
	case Map:
		return w.pairs(f, t, c, depth)
	default:
		return w.list(f, t, c, depth)
	}
}

func (w *constWriter) wrong(t *Type, c *constant) error {
	return at(c.Pos, "want a value of type %s", t.Name)
}

// name is true, false, an enum's value or another constant, perhaps of another file.
func (w *constWriter) name(f *file, t *Type, c *constant, depth int) error {
	name := *c.Name
	if t.Kind == Bool && (name == "true" || name == "false") {
		w.out = append(w.out, name...)
		return nil
	}
	if d := f.lookup(name); d != nil && d.constant != nil {
		return w.put(d.file, t, d.constant.Value, depth+1)
	}
	enum := t.Enum
	short := name
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		short = name[i+1:]
		d := f.lookup(name[:i])
		if d == nil || d.enumNode == nil {
			return at(c.Pos, "there is no constant %s and no enum %s", name, name[:i])
		}
		e, err := d.resolveType(c.Pos)
		if err != nil {
			return err
		}
		enum = e.Enum
	}
	if enum == nil {
		return at(c.Pos, "there is no constant %s: define it, or put a text into quotes", name)
	}
	v, ok := enum.values[short]
	if !ok {
		return at(c.Pos, "the enum %s has no %s; it has %s", enum.Name, short, strings.Join(enum.Names(), ", "))
	}
	switch t.Kind {
	case Enumeration:
		if t.Enum != enum {
			return at(c.Pos, "want a value of %s, not of %s", t.Enum.Name, enum.Name)
		}
		w.out = strconv.AppendQuote(w.out, short)
	case I8, I16, I32, I64:
		return w.number(t, c, int64(v))
	default:
		return w.wrong(t, c)
	}
	return nil
}

func (w *constWriter) integer(t *Type, c *constant) error {
	if c.Int == nil {
		return w.wrong(t, c)
	}
	v, err := parseInt(*c.Int)
	if err != nil {
		return at(c.Pos, "%v", err)
	}
	return w.number(t, c, v)
}

func (w *constWriter) number(t *Type, c *constant, v int64) error {
	if t.Kind == Bool {
		w.out = strconv.AppendBool(w.out, v != 0)
		return nil
	}
	bits := map[Kind]int{I8: 8, I16: 16, I32: 32, Enumeration: 32, I64: 64}[t.Kind]
	if v < math.MinInt64>>(64-bits) || v > math.MaxInt64>>(64-bits) {
		return at(c.Pos, "%d does not fit %s", v, t.Name)
	}
	w.out = strconv.AppendInt(w.out, v, 10)
	return nil
}

func (w *constWriter) double(t *Type, c *constant) error {
	s := c.Double
	if s == nil {
		s = c.Int
	}
	if s == nil {
		return w.wrong(t, c)
	}
	if c.Int != nil {
		v, err := parseInt(*s)
		if err != nil {
			return at(c.Pos, "%v", err)
		}
		w.out = strconv.AppendInt(w.out, v, 10)
		return nil
	}
	v, err := strconv.ParseFloat(*s, 64)
	if err != nil {
		return at(c.Pos, "%s does not fit a double", *s)
	}
	w.out = strconv.AppendFloat(w.out, v, 'g', -1, 64)
	return nil
}

func (w *constWriter) text(t *Type, c *constant) error {
	if c.Text == nil {
		return w.wrong(t, c)
	}
	s := unquote(*c.Text)
	switch t.Kind {
	case Binary:
		s = base64.StdEncoding.EncodeToString([]byte(s))
	case UUID:
		s = strings.Trim(s, "{}")
		if !uuidShape().MatchString(s) {
			return at(c.Pos, "%q is no UUID: write it as 12345678-1234-1234-1234-123456789abc", s)
		}
	}
	b, err := json.Marshal(s)
	w.out = append(w.out, b...)
	return err
}

func (w *constWriter) list(f *file, t *Type, c *constant, depth int) error {
	if c.List == nil {
		return w.wrong(t, c)
	}
	w.out = append(w.out, '[')
	for i, v := range c.List.Values {
		w.comma(i)
		if err := w.put(f, t.Elem, v, depth+1); err != nil {
			return err
		}
	}
	w.out = append(w.out, ']')
	return nil
}

func (w *constWriter) comma(i int) {
	if i > 0 {
		w.out = append(w.out, ',')
	}
}

// pairs writes a map as a list of pairs: any key can be said so.
func (w *constWriter) pairs(f *file, t *Type, c *constant, depth int) error {
	if c.Map == nil && (c.List == nil || len(c.List.Values) > 0) { // [] is how some files write an empty map
		return w.wrong(t, c)
	}
	w.out = append(w.out, '[')
	if c.Map != nil {
		for i, e := range c.Map.Entries {
			w.comma(i)
			w.out = append(w.out, '[')
			if err := w.put(f, t.Key, e.Key, depth+1); err != nil {
				return err
			}
			w.out = append(w.out, ',')
			if err := w.put(f, t.Elem, e.Value, depth+1); err != nil {
				return err
			}
			w.out = append(w.out, ']')
		}
	}
	w.out = append(w.out, ']')
	return nil
}

func (w *constWriter) record(f *file, t *Type, c *constant, depth int) error {
	if c.Map == nil {
		return w.wrong(t, c)
	}
	w.out = append(w.out, '{')
	for i, e := range c.Map.Entries {
		if e.Key.Text == nil {
			return at(e.Key.Pos, "the fields of %s are named by strings", t.Name)
		}
		name := unquote(*e.Key.Text)
		field := t.Struct.Field(name)
		if field == nil {
			return at(e.Key.Pos, "%s has no field %q", t.Name, name)
		}
		w.comma(i)
		w.out = append(strconv.AppendQuote(w.out, name), ':')
		if err := w.put(f, field.Type, e.Value, depth+1); err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}
