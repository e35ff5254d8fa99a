package call

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/idl"
)

// encodeTyped turns typed JSON into a TBinary struct of at most max bytes.
func encodeTyped(text []byte, max int) ([]byte, error) {
	in, err := newSource(text)
	if err != nil {
		return nil, err
	}
	e := &encoder{in: in, max: max}
	root := &path{}
	if err := e.typedStruct(1, root); err != nil {
		return nil, err
	}
	if err := in.finish(); err != nil {
		return nil, err
	}
	return e.out, e.room(root, 0)
}

// typedStruct reads {"1": {"str": "bob"}, …}.
func (e *encoder) typedStruct(depth int, p *path) error {
	if err := e.begin(depth, p); err != nil {
		return err
	}
	if err := e.in.open('{', p, `an object of fields like {"1": {"str": "bob"}}`); err != nil {
		return err
	}
	seen := map[int16]bool{}
	for e.in.more() {
		key, err := e.in.key()
		if err != nil {
			return err
		}
		id, err := strconv.ParseInt(key, 10, 16)
		if err != nil {
			return p.errorf("want a field id (a number), got %s: names need --idl FILE.thrift", describe(key))
		}
		q := p.field(key)
		if seen[int16(id)] {
			return q.errorf("the field is there twice")
		}
		seen[int16(id)] = true
		if err := e.typedField(int16(id), depth, q); err != nil {
			return err
		}
	}
	e.out = append(e.out, wireStop)
	return e.in.end(p, "an object")
}

// typedField reads {"str": "bob"}.
func (e *encoder) typedField(id int16, depth int, p *path) error {
	if err := e.in.open('{', p, `a type and a value like {"str": "bob"}`); err != nil {
		return err
	}
	if !e.in.more() {
		return p.errorf(`want a type and a value like {"str": "bob"}, got an empty object`)
	}
	word, err := e.in.key()
	if err != nil {
		return err
	}
	k, ok := kinds[word]
	if !ok {
		return p.errorf("unknown type %s: use one of %s", describe(word), words)
	}
	e.fieldHead(wires[k], id)
	if err := e.typedValue(k, depth, p); err != nil {
		return err
	}
	return e.in.end(p, "a field has one type and one value")
}

func (e *encoder) typedValue(k idl.Kind, depth int, p *path) error {
	switch k {
	case idl.Record:
		return e.typedStruct(depth+1, p)
	case idl.List, idl.Set:
		return e.typedList(depth+1, p)
	case idl.Map:
		return e.typedMap(depth+1, p)
	}
	t, err := e.in.next()
	if err != nil {
		return err
	}
	return e.scalar(k, t, p)
}

// word reads the type at the head of a container.
func (e *encoder) word(p *path, of string) (idl.Kind, error) {
	if !e.in.more() {
		return 0, p.errorf("the type of its %s is missing: use one of %s", of, words)
	}
	t, err := e.in.next()
	if err != nil {
		return 0, err
	}
	s, _ := t.(string)
	k, ok := kinds[s]
	if !ok {
		return 0, p.errorf("want the type of its %s (%s), got %s", of, words, describe(t))
	}
	return k, nil
}

// size reads the number of elements at the head of a container.
func (e *encoder) size(p *path) (int, error) {
	if !e.in.more() {
		return 0, p.errorf("its size is missing")
	}
	t, err := e.in.next()
	if err != nil {
		return 0, err
	}
	n, ok := t.(json.Number)
	v, err := strconv.ParseInt(n.String(), 10, 32)
	if !ok || err != nil || v < 0 {
		return 0, p.want("its size", t)
	}
	return int(v), nil
}

func counted(p *path, said, is int) error {
	if said != is {
		return p.errorf("its size says %d, there are %d elements", said, is)
	}
	return nil
}

// typedList reads ["i32", 3, 10, 20, 30].
func (e *encoder) typedList(depth int, p *path) error {
	if err := e.begin(depth, p); err != nil {
		return err
	}
	if err := e.in.open('[', p, `a list like ["i32", 2, 10, 20]`); err != nil {
		return err
	}
	k, err := e.word(p, "elements")
	if err != nil {
		return err
	}
	said, err := e.size(p)
	if err != nil {
		return err
	}
	e.out = append(e.out, wires[k])
	at, n := e.hole(), 0
	for ; e.in.more(); n++ {
		if err := e.typedValue(k, depth, p.at(n)); err != nil {
			return err
		}
	}
	if err := counted(p, said, n); err != nil {
		return err
	}
	e.fill(at, n)
	return e.in.end(p, "a list")
}

// typedMap reads ["str", "i64", 1, {"a": 1}] or, for any type of key, ["str", "i64", 1, [["a", 1]]].
func (e *encoder) typedMap(depth int, p *path) error {
	if err := e.begin(depth, p); err != nil {
		return err
	}
	if err := e.in.open('[', p, `a map like ["str", "i64", 1, {"a": 1}]`); err != nil {
		return err
	}
	key, err := e.word(p, "keys")
	if err != nil {
		return err
	}
	value, err := e.word(p, "values")
	if err != nil {
		return err
	}
	said, err := e.size(p)
	if err != nil {
		return err
	}
	e.out = append(e.out, wires[key], wires[value])
	at := e.hole()
	var text func(string, *path) error
	if scalars[key] != "" {
		text = func(name string, q *path) error { return e.mapKey(key, name, q) }
	}
	n, err := e.entries(p, text, func(q *path) error { return e.typedValue(key, depth, q) },
		func(q *path) error { return e.typedValue(value, depth, q) })
	if err != nil {
		return err
	}
	if err := counted(p, said, n); err != nil {
		return err
	}
	e.fill(at, n)
	return e.in.end(p, "a map has two types, a size and its entries")
}

// entries reads the entries of a map, an object or a list of pairs, and tells how many there were. text writes the key of
// an object; nil where no string can say the key.
func (e *encoder) entries(p *path, text func(string, *path) error, key, value func(*path) error) (int, error) {
	if !e.in.more() {
		return 0, p.errorf("its entries are missing")
	}
	t, err := e.in.next()
	if err != nil {
		return 0, err
	}
	switch t {
	case json.Delim('['):
		return e.pairs(p, key, value)
	case json.Delim('{'):
	default:
		return 0, p.want("an object or a list of pairs", t)
	}
	n, seen := 0, map[string]bool{}
	for ; e.in.more(); n++ {
		name, err := e.in.key()
		if err != nil {
			return 0, err
		}
		if text == nil {
			return 0, p.errorf("its keys can't be said as strings: write its entries as a list of pairs, [[key, value], …]")
		}
		q := p.field(strconv.Quote(shorten(name)))
		if seen[name] {
			return 0, q.errorf("the key is there twice")
		}
		seen[name] = true
		if err := text(name, q); err != nil {
			return 0, err
		}
		if err := value(q); err != nil {
			return 0, err
		}
	}
	return n, e.in.end(p, "a map")
}

func (e *encoder) pairs(p *path, key, value func(*path) error) (int, error) {
	n := 0
	for ; e.in.more(); n++ {
		if n == math.MaxInt32 {
			return 0, p.errorf("too many entries")
		}
		q := p.at(n)
		if err := e.in.open('[', q, "a pair [key, value]"); err != nil {
			return 0, err
		}
		for _, half := range []func(*path) error{key, value} {
			if !e.in.more() {
				return 0, q.errorf("want a pair [key, value]")
			}
			if err := half(q); err != nil {
				return 0, err
			}
		}
		if err := e.in.end(q, "a pair is [key, value]"); err != nil {
			return 0, err
		}
	}
	return n, e.in.end(p, "a list of pairs")
}
