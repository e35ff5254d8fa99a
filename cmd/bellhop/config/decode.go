package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/registry/strict"
	"go.yaml.in/yaml/v3"
)

// maxFile bounds a configuration file, in bytes.
const maxFile = 1 << 20

// Load reads the file of a role; with an empty path there is none, and the defaults stand. The error is Problems.
func Load(path string, role Role) (*Config, error) {
	if path == "" {
		return Default(role), nil
	}
	f, err := os.Open(path)
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, Problems{{File: path, Text: "can't be opened: " + err.Error()}}
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, Problems{{File: path, Text: "can't be read: " + err.Error()}}
	}
	if len(b) > maxFile {
		return nil, Problems{{File: path, Text: fmt.Sprintf("has more than %d bytes, which is no configuration", maxFile)}}
	}
	return Parse(path, b, role)
}

// Parse reads a file's content over the defaults of the role. The error is Problems.
func Parse(name string, b []byte, role Role) (*Config, error) {
	d := &decoder{file: name, role: role, lines: map[string]int{}}
	c := Default(role)
	if root := d.document(b); root != nil {
		d.decode(reflect.ValueOf(c).Elem(), at{node: root})
		d.cross(c)
	}
	if len(d.problems) > 0 {
		return nil, sorted(d.problems)
	}
	return c, nil
}

// decoder reads a tree of nodes into a struct by its tags. It goes on after a problem, so that all are told at once.
type decoder struct {
	file     string
	role     Role
	problems Problems
	lines    map[string]int // key path → line
}

// at is a node, the path of keys that leads to it, and the rule of its field.
type at struct {
	node *yaml.Node
	path string
	tag  reflect.StructTag
}

func (d *decoder) bad(line int, key, format string, args ...any) {
	d.problems = append(d.problems, Problem{File: d.file, Line: line, Key: key, Text: fmt.Sprintf(format, args...)})
}

func (d *decoder) wrong(a at, format string, args ...any) {
	d.bad(a.node.Line, a.path, format, args...)
}

// document returns the root mapping; nil when the file says nothing, or nothing that can be read.
func (d *decoder) document(b []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(b))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		d.syntax(err)
		return nil
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		d.bad(second.Line, "", "begins a second document; keep one")
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		return nil
	}
	return root
}

// syntax reports what yaml says, at the line that it names.
func (d *decoder) syntax(err error) {
	text, line := strings.TrimPrefix(err.Error(), "yaml: "), 0
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if n, after, ok := strings.Cut(rest, ": "); ok {
			if at, err := strconv.Atoi(n); err == nil {
				line, text = at, after
			}
		}
	}
	d.bad(line, "", "is not YAML: %s", text)
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
)

func (d *decoder) decode(v reflect.Value, a at) {
	d.lines[a.path] = a.node.Line
	if a.node.Kind == yaml.AliasNode {
		d.wrong(a, "is an alias; write the value out")
		return
	}
	switch v.Type() {
	case durationType:
		d.duration(v, a)
		return
	case sizeType:
		d.size(v, a)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(v, a)
	case reflect.Slice:
		d.list(v, a)
	case reflect.String:
		d.text(v, a)
	case reflect.Int:
		d.integer(v, a)
	case reflect.Float64:
		d.number(v, a)
	case reflect.Bool:
		d.boolean(v, a)
	default:
		d.wrong(a, "can't be configured: a %s", v.Type()) // a field of a new type: TestEveryKeyCanBeSet finds it
	}
}

func (d *decoder) mapping(v reflect.Value, a at) {
	if a.node.Kind != yaml.MappingNode {
		d.wrong(a, "is %s; write a mapping", show(a.node))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(a.node.Content); i += 2 {
		key, val := a.node.Content[i], a.node.Content[i+1]
		path := join(a.path, key.Value)
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			d.bad(key.Line, a.path, "has a key that is %s; write a plain word", show(key))
			continue
		}
		if first := seen[key.Value]; first > 0 {
			d.bad(key.Line, path, "is written twice, first in line %d; keep one of the two", first)
			continue
		}
		seen[key.Value] = key.Line
		f, ok := fieldOf(v, key.Value)
		switch only := f.tag.Get("role"); {
		case !ok:
			d.bad(key.Line, path, "is not a key that is known here; the keys are %s", strings.Join(keysOf(v.Type()), ", "))
		case only != "" && only != string(d.role):
			d.bad(key.Line, path, "is for bellhop %s only; this file is read by bellhop %s", only, d.role)
		default:
			d.decode(f.value, at{val, path, f.tag})
		}
	}
}

func (d *decoder) list(v reflect.Value, a at) {
	if a.node.Kind != yaml.SequenceNode {
		d.wrong(a, "is %s; write a list, like [a, b], or [] for none", show(a.node))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(a.node.Content), len(a.node.Content))
	for i, n := range a.node.Content {
		d.decode(out.Index(i), at{n, fmt.Sprintf("%s[%d]", a.path, i), a.tag})
	}
	v.Set(out)
}

func (d *decoder) text(v reflect.Value, a at) {
	n := a.node
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		d.wrong(a, "is %s; write text", show(n))
		return
	}
	if n.Value == "" || strings.ContainsFunc(n.Value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		d.wrong(a, "is %s; write text without control characters", show(n))
		return
	}
	if words := a.tag.Get("oneof"); words != "" {
		list := strings.Split(words, ",")
		for _, w := range list {
			if w == n.Value {
				v.SetString(w)
				return
			}
		}
		d.wrong(a, "is %s; write one of %s", show(n), strings.Join(list, ", "))
		return
	}
	if judge := a.tag.Get("check"); judge != "" {
		if err := checks[judge](n.Value); err != nil {
			d.wrong(a, "is %s: %v", show(n), err)
			return
		}
	}
	v.SetString(n.Value)
}

func (d *decoder) integer(v reflect.Value, a at) {
	low, high := tagInt(a.tag, "min"), tagInt(a.tag, "max")
	n, err := strconv.ParseInt(a.node.Value, 10, 64)
	if a.node.Kind != yaml.ScalarNode || a.node.ShortTag() != "!!int" || err != nil || n < low || n > high {
		d.wrong(a, "is %s; write a whole number from %d to %d", show(a.node), low, high)
		return
	}
	v.SetInt(n)
}

func (d *decoder) size(v reflect.Value, a at) {
	low, high := Size(tagInt(a.tag, "min")), Size(tagInt(a.tag, "max"))
	n, err := ParseSize(a.node.Value)
	if a.node.Kind != yaml.ScalarNode || err != nil || n < low || n > high {
		d.wrong(a, "is %s; write a size from %s to %s, like 64MiB", show(a.node), low, high)
		return
	}
	v.SetInt(int64(n))
}

func (d *decoder) number(v reflect.Value, a at) {
	low, high := tagFloat(a.tag, "min"), tagFloat(a.tag, "max")
	n, err := strconv.ParseFloat(a.node.Value, 64)
	tag := a.node.ShortTag()
	if a.node.Kind != yaml.ScalarNode || tag != "!!float" && tag != "!!int" || err != nil || !(n >= low && n <= high) {
		d.wrong(a, "is %s; write a number from %g to %g", show(a.node), low, high)
		return
	}
	v.SetFloat(n)
}

func (d *decoder) boolean(v reflect.Value, a at) {
	if a.node.Kind != yaml.ScalarNode || a.node.ShortTag() != "!!bool" {
		d.wrong(a, "is %s; write true or false", show(a.node))
		return
	}
	v.SetBool(strings.EqualFold(a.node.Value, "true"))
}

func (d *decoder) duration(v reflect.Value, a at) {
	low, high := tagDuration(a.tag, "min"), tagDuration(a.tag, "max")
	n, err := time.ParseDuration(a.node.Value)
	if a.node.Kind != yaml.ScalarNode || err != nil || n < low || n > high {
		d.wrong(a, "is %s; write a duration from %s to %s, like 500ms or 2s", show(a.node), strict.ShowDuration(low), strict.ShowDuration(high))
		return
	}
	v.SetInt(int64(n))
}

// show names a node in an error.
func show(n *yaml.Node) string {
	value := n.Value
	if len(value) > 80 {
		value = strings.ToValidUTF8(value[:80], "") + "…"
	}
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null", value == "":
		return "empty"
	default:
		return strconv.Quote(value)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
