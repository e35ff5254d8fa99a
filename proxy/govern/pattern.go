package govern

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// MaxRegex bounds a regular expression, in bytes.
const MaxRegex = 256

// Pattern is what a text must be like: the text itself, the beginning of it and a * ("get*"), or ~ and a regular
// expression (RE2) that the whole text must match ("~get[A-Z].*"). "*" alone takes every text that is there. No pattern
// takes the empty text: what a call does not have matches nothing. Immutable.
type Pattern struct {
	text   string // as it was written
	prefix string
	kind   patternKind
	re     *regexp.Regexp
}

type patternKind uint8

const (
	exactly patternKind = iota
	beginning
	regular
)

// ParsePattern reads a pattern. The error says what to write instead.
func ParsePattern(s string) (Pattern, error) {
	switch {
	case s == "":
		return Pattern{}, errors.New("is empty; write a text, the beginning of one and *, or ~ and a regular expression")
	case s[0] == '~':
		return parseRegex(s)
	case strings.HasSuffix(s, "*"):
		p := s[:len(s)-1]
		if strings.Contains(p, "*") {
			return Pattern{}, errors.New("has a * before its end; write one * at the end, or ~ and a regular expression")
		}
		return Pattern{text: s, prefix: p, kind: beginning}, nil
	case strings.Contains(s, "*"):
		return Pattern{}, errors.New("has a * before its end; write one * at the end, or ~ and a regular expression")
	}
	return Pattern{text: s}, nil
}

func parseRegex(s string) (Pattern, error) {
	if len(s)-1 > MaxRegex {
		return Pattern{}, fmt.Errorf("is a regular expression of %d bytes; write at most %d", len(s)-1, MaxRegex)
	}
	if _, err := regexp.Compile(s[1:]); err != nil { // alone first: its message shows what was written
		return Pattern{}, fmt.Errorf("is not a regular expression (RE2): %w; write one after the ~", err)
	}
	re, err := regexp.Compile(`\A(?:` + s[1:] + `)\z`)
	if err != nil {
		return Pattern{}, fmt.Errorf("is not a regular expression (RE2): %w; write one after the ~", err)
	}
	return Pattern{text: s, kind: regular, re: re}, nil
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Exact reports whether it takes one text alone.
func (p Pattern) Exact() bool { return p.kind == exactly }

func (p *Pattern) takes(s string) bool {
	switch {
	case s == "":
		return false
	case p.kind == exactly:
		return s == p.text
	case p.kind == beginning:
		return strings.HasPrefix(s, p.prefix)
	default:
		return p.re.MatchString(s)
	}
}

// takesBytes is takes for what lies in a frame. It allocates nothing.
func (p *Pattern) takesBytes(b []byte) bool {
	switch {
	case len(b) == 0:
		return false
	case p.kind == exactly:
		return string(b) == p.text
	case p.kind == beginning:
		return len(b) >= len(p.prefix) && string(b[:len(p.prefix)]) == p.prefix
	default:
		return p.re.Match(b)
	}
}

// Patterns are a list of them: a text must be like one. None take every text, and none at all.
type Patterns []Pattern

func (ps Patterns) take(s string) bool {
	if len(ps) == 0 {
		return true
	}
	for i := range ps {
		if ps[i].takes(s) {
			return true
		}
	}
	return false
}

func (ps Patterns) takeBytes(b []byte) bool {
	if len(ps) == 0 {
		return true
	}
	for i := range ps {
		if ps[i].takesBytes(b) {
			return true
		}
	}
	return false
}
