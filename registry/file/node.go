package file

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// parser reads one document. Its readers report a wrong node and return the zero value; parsing goes on, so that every
// problem is told at once.
type parser struct {
	file  string
	out   *problems
	hooks hooks
	room  *room
}

// at is a node and the path of keys that leads to it.
type at struct {
	node *yaml.Node
	path string
}

func (a at) child(key string, n *yaml.Node) at {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		key = strconv.Quote(key)
	}
	key = clip(key)
	if a.path == "" {
		return at{n, key}
	}
	return at{n, a.path + "." + key}
}

func (a at) item(i int, n *yaml.Node) at { return at{n, fmt.Sprintf("%s[%d]", a.path, i)} }

func (p *parser) wrong(a at, format string, args ...any) {
	p.out.add(p.file, a.node.Line, a.path, format, args...)
}

// clip keeps messages readable and bounded.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// show names a node in an error: its text when it is a scalar, else what it is.
func show(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.AliasNode:
		return "an alias (*" + clip(n.Value) + ")"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null":
		return "empty"
	case n.ShortTag() != "!!str":
		return clip(n.Value)
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return "the text " + strconv.Quote(clip(n.Value))
	default:
		return strconv.Quote(clip(n.Value))
	}
}

// unfit says why a name or a text can't be taken; "" when it can. Control characters would reach logs and labels.
func unfit(s string) string {
	switch {
	case len(s) > maxName:
		return fmt.Sprintf("has %d bytes; write at most %d", len(s), maxName)
	case strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Sprintf("is %s, which holds a control character; write printable text", strconv.Quote(clip(s)))
	}
	return ""
}

// fields are the keys that a mapping may have and what reads each of them.
type fields []field

type field struct {
	key  string
	read func(at)
}

// mapping reads a mapping with known keys; it says whether it was one.
func (p *parser) mapping(a at, want string, fs fields) bool {
	return p.entries(a, want, func(key *yaml.Node, v at) {
		for _, f := range fs {
			if f.key == key.Value {
				f.read(v)
				return
			}
		}
		names := make([]string, len(fs))
		for i, f := range fs {
			names[i] = f.key
		}
		p.out.add(p.file, key.Line, v.path, "is not a key that is known here; the keys are %s", strings.Join(names, ", "))
	})
}

// entries calls read for each entry of a mapping, in order, and reports keys that come twice.
func (p *parser) entries(a at, want string, read func(key *yaml.Node, v at)) bool {
	if a.node.Kind != yaml.MappingNode {
		p.wrong(a, "is %s; write %s", show(a.node), want)
		return false
	}
	lines := make(map[string]int, len(a.node.Content)/2)
	for i := 0; i+1 < len(a.node.Content); i += 2 {
		key, value := a.node.Content[i], a.node.Content[i+1]
		switch {
		case key.ShortTag() == "!!merge":
			p.wrong(at{key, a.path}, "merges another mapping with <<; write its keys out")
			continue
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null":
			p.wrong(at{key, a.path}, "has a key that is %s; write a plain word", show(key))
			continue
		}
		v := a.child(key.Value, value)
		if first, twice := lines[key.Value]; twice {
			p.out.add(p.file, key.Line, v.path, "is written twice, first in line %d; keep one of the two", first)
			continue
		}
		lines[key.Value] = key.Line
		read(key, v)
	}
	return true
}

// list calls read for each item of a list.
func (p *parser) list(a at, want string, read func(i int, v at)) {
	if a.node.Kind != yaml.SequenceNode {
		p.wrong(a, "is %s; write %s", show(a.node), want)
		return
	}
	for i, n := range a.node.Content {
		read(i, a.item(i, n))
	}
}

// text reads a string of 1 to maxName bytes.
func (p *parser) text(a at, want string) (string, bool) {
	n := a.node
	switch {
	case n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" || n.Value == "":
		what := show(n)
		if n.Value == "" && n.Kind == yaml.ScalarNode {
			what = "empty"
		}
		p.wrong(a, "is %s; write %s", what, want)
	case n.ShortTag() != "!!str":
		p.wrong(a, "is %s, which YAML does not take for text; write %s, in quotes", show(n), want)
	case unfit(n.Value) != "":
		p.wrong(a, "%s", unfit(n.Value))
	default:
		return n.Value, true
	}
	return "", false
}

// word reads one of a few words.
func (p *parser) word(into *string, words ...string) func(at) {
	return func(a at) {
		want := "one of " + strings.Join(words, ", ")
		s, ok := p.text(a, want)
		if !ok {
			return
		}
		for _, w := range words {
			if s == w {
				*into = s
				return
			}
		}
		p.wrong(a, "is %s; write %s", show(a.node), want)
	}
}

func (p *parser) string(into *string, want string) func(at) {
	return func(a at) { *into, _ = p.text(a, want) }
}

func (p *parser) boolean(into *bool) func(at) {
	return func(a at) {
		if a.node.Kind != yaml.ScalarNode || a.node.ShortTag() != "!!bool" {
			p.wrong(a, "is %s; write true or false", show(a.node))
			return
		}
		*into = strings.EqualFold(a.node.Value, "true")
	}
}

// integer reads a number from low to high. Only decimal digits: 0o17 and 1_000 are YAML, and a trap.
func (p *parser) integer(into *int, low, high int) func(at) {
	return func(a at) {
		n, err := strconv.Atoi(a.node.Value)
		if a.node.Kind != yaml.ScalarNode || a.node.ShortTag() != "!!int" || err != nil || n < low || n > high {
			p.wrong(a, "is %s; write a whole number from %d to %d", show(a.node), low, high)
			return
		}
		*into = n
	}
}

func (p *parser) duration(into *time.Duration, low, high time.Duration) func(at) {
	return func(a at) {
		if a.node.Kind != yaml.ScalarNode || a.node.ShortTag() == "!!null" {
			p.wrong(a, "is %s; write a number and a unit, like 500ms or 2s", show(a.node))
			return
		}
		d, err := time.ParseDuration(a.node.Value)
		switch {
		case err != nil:
			p.wrong(a, "is %s, which is not a duration; write a number and a unit, like 500ms or 2s", show(a.node))
		case d < low || d > high:
			p.wrong(a, "is %s; write a duration from %s to %s", show(a.node), ShowDuration(low), ShowDuration(high))
		default:
			*into = d
		}
	}
}

// ShowDuration writes a round duration without its zero tail: 1h, not 1h0m0s.
func ShowDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// names reads a list of words, each once.
func (p *parser) names(into *[]string, what string) func(at) {
	return func(a at) {
		lines := make(map[string]int)
		p.list(a, "a list of "+what+"s, like [hello]", func(_ int, v at) {
			s, ok := p.text(v, "the name of a "+what)
			if !ok {
				return
			}
			if first, twice := lines[s]; twice {
				p.wrong(v, "is %s again, which line %d has; keep one of the two", show(v.node), first)
				return
			}
			lines[s] = v.node.Line
			*into = append(*into, s)
		})
	}
}
