package strict

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// Reader reads one document. Its readers report a wrong node and leave the zero value; reading goes on, so that every
// problem is told at once. One goroutine at a time.
type Reader struct {
	File   string  // as it is named in problems
	Report *Report // where problems go; several readers may share one
}

// At is a node and the path of keys that leads to it.
type At struct {
	Node *yaml.Node
	Path string
}

// Child is the value n of a key; the path is fit to be printed.
func (a At) Child(key string, n *yaml.Node) At {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		key = strconv.Quote(key)
	}
	key = Clip(key)
	if a.Path == "" {
		return At{n, key}
	}
	return At{n, a.Path + "." + key}
}

// Item is the item i of a list.
func (a At) Item(i int, n *yaml.Node) At { return At{n, fmt.Sprintf("%s[%d]", a.Path, i)} }

// Wrong reports a problem at the line of a.
func (p *Reader) Wrong(a At, format string, args ...any) {
	p.Report.Add(p.File, a.Node.Line, a.Path, format, args...)
}

// Clip shortens what somebody wrote, so that messages stay readable and bounded.
func Clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Show names a node in an error: its text when it is a scalar, else what it is.
func Show(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.AliasNode:
		return "an alias (*" + Clip(n.Value) + ")"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null":
		return "empty"
	case n.ShortTag() != "!!str":
		return Clip(n.Value)
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return "the text " + strconv.Quote(Clip(n.Value))
	default:
		return strconv.Quote(Clip(n.Value))
	}
}

// unfit says why a name or a text can't be taken; "" when it can. Control characters would reach logs and labels.
func unfit(s string) string {
	switch {
	case len(s) > MaxName:
		return fmt.Sprintf("has %d bytes; write at most %d", len(s), MaxName)
	case strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Sprintf("is %s, which holds a control character; write printable text", strconv.Quote(Clip(s)))
	}
	return ""
}

// Fields are the keys that a mapping may have and what reads each of them.
type Fields []Field

// Field is one of them.
type Field struct {
	key  string
	read func(At)
}

// Key is a key and what reads its value.
func Key(key string, read func(At)) Field { return Field{key, read} }

// Mapping reads a mapping with known keys; it says whether it was one. want is what to write instead.
func (p *Reader) Mapping(a At, want string, fs Fields) bool {
	return p.Entries(a, want, func(key *yaml.Node, v At) {
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
		p.Report.Add(p.File, key.Line, v.Path, "is not a key that is known here; the keys are %s", strings.Join(names, ", "))
	})
}

// Entries calls read for each entry of a mapping, in order, and reports keys that come twice. It says whether it was one.
func (p *Reader) Entries(a At, want string, read func(key *yaml.Node, v At)) bool {
	if a.Node.Kind != yaml.MappingNode {
		p.Wrong(a, "is %s; write %s", Show(a.Node), want)
		return false
	}
	lines := make(map[string]int, len(a.Node.Content)/2)
	for i := 0; i+1 < len(a.Node.Content); i += 2 {
		key, value := a.Node.Content[i], a.Node.Content[i+1]
		switch {
		case key.ShortTag() == "!!merge":
			p.Wrong(At{key, a.Path}, "merges another mapping with <<; write its keys out")
			continue
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null":
			p.Wrong(At{key, a.Path}, "has a key that is %s; write a plain word", Show(key))
			continue
		}
		v := a.Child(key.Value, value)
		if first, twice := lines[key.Value]; twice {
			p.Report.Add(p.File, key.Line, v.Path, "is written twice, first in line %d; keep one of the two", first)
			continue
		}
		lines[key.Value] = key.Line
		read(key, v)
	}
	return true
}

// List calls read for each item of a list.
func (p *Reader) List(a At, want string, read func(i int, v At)) {
	if a.Node.Kind != yaml.SequenceNode {
		p.Wrong(a, "is %s; write %s", Show(a.Node), want)
		return
	}
	for i, n := range a.Node.Content {
		read(i, a.Item(i, n))
	}
}

// Text reads a string of 1 to MaxName bytes; false: it was none.
func (p *Reader) Text(a At, want string) (string, bool) {
	n := a.Node
	switch {
	case n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" || n.Value == "":
		what := Show(n)
		if n.Value == "" && n.Kind == yaml.ScalarNode {
			what = "empty"
		}
		p.Wrong(a, "is %s; write %s", what, want)
	case n.ShortTag() != "!!str":
		p.Wrong(a, "is %s, which YAML does not take for text; write %s, in quotes", Show(n), want)
	case unfit(n.Value) != "":
		p.Wrong(a, "%s", unfit(n.Value))
	default:
		return n.Value, true
	}
	return "", false
}

// Word reads one of a few words.
func (p *Reader) Word(into *string, words ...string) func(At) {
	return func(a At) {
		want := "one of " + strings.Join(words, ", ")
		s, ok := p.Text(a, want)
		if !ok {
			return
		}
		for _, w := range words {
			if s == w {
				*into = s
				return
			}
		}
		p.Wrong(a, "is %s; write %s", Show(a.Node), want)
	}
}

// String reads what Text reads.
func (p *Reader) String(into *string, want string) func(At) {
	return func(a At) { *into, _ = p.Text(a, want) }
}

// Boolean reads true or false.
func (p *Reader) Boolean(into *bool) func(At) {
	return func(a At) {
		if a.Node.Kind != yaml.ScalarNode || a.Node.ShortTag() != "!!bool" {
			p.Wrong(a, "is %s; write true or false", Show(a.Node))
			return
		}
		*into = strings.EqualFold(a.Node.Value, "true")
	}
}

// Integer reads a number from low to high. Only decimal digits: 0o17 and 1_000 are YAML, and a trap.
func (p *Reader) Integer(into *int, low, high int) func(At) {
	return func(a At) {
		n, err := strconv.Atoi(a.Node.Value)
		if a.Node.Kind != yaml.ScalarNode || a.Node.ShortTag() != "!!int" || err != nil || n < low || n > high {
			p.Wrong(a, "is %s; write a whole number from %d to %d", Show(a.Node), low, high)
			return
		}
		*into = n
	}
}

// Duration reads a duration from low to high.
func (p *Reader) Duration(into *time.Duration, low, high time.Duration) func(At) {
	return func(a At) {
		if a.Node.Kind != yaml.ScalarNode || a.Node.ShortTag() == "!!null" {
			p.Wrong(a, "is %s; write a number and a unit, like 500ms or 2s", Show(a.Node))
			return
		}
		d, err := time.ParseDuration(a.Node.Value)
		switch {
		case err != nil:
			p.Wrong(a, "is %s, which is not a duration; write a number and a unit, like 500ms or 2s", Show(a.Node))
		case d < low || d > high:
			p.Wrong(a, "is %s; write a duration from %s to %s", Show(a.Node), ShowDuration(low), ShowDuration(high))
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

// Names reads a list of words, each once. into is not nil afterwards, if it was a list.
func (p *Reader) Names(into *[]string, what string) func(At) {
	return func(a At) {
		lines := make(map[string]int)
		if a.Node.Kind == yaml.SequenceNode {
			*into = []string{}
		}
		p.List(a, "a list of "+what+"s, like [hello]", func(_ int, v At) {
			s, ok := p.Text(v, "the name of a "+what)
			if !ok {
				return
			}
			if first, twice := lines[s]; twice {
				p.Wrong(v, "is %s again, which line %d has; keep one of the two", Show(v.Node), first)
				return
			}
			lines[s] = v.Node.Line
			*into = append(*into, s)
		})
	}
}
