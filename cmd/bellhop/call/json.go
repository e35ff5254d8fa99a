package call

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// source reads JSON token by token: a value is on the wire before the next one is read, so that no tree of it is held.
type source struct {
	dec  *json.Decoder
	text []byte
}

func newSource(text []byte) (*source, error) {
	if i := badUTF8(text); i >= 0 {
		line, col := lineCol(text, i)
		return nil, fmt.Errorf("arguments:%d:%d: not UTF-8: say bytes in base64", line, col)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return &source{dec: d, text: text}, nil
}

func badUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

func lineCol(text []byte, offset int) (line, col int) {
	before := text[:min(max(offset, 0), len(text))]
	nl := bytes.LastIndexByte(before, '\n')
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[nl+1:]) + 1
}

// next is the next token.
func (s *source) next() (json.Token, error) {
	t, err := s.dec.Token()
	if err == nil {
		return t, nil
	}
	offset, msg := s.ahead(), err.Error()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		offset, msg = len(s.text), "the JSON ends too early: is a bracket or quote missing?"
	}
	line, col := lineCol(s.text, offset)
	return nil, fmt.Errorf("arguments:%d:%d: %s", line, col, msg)
}

// ahead is where the next token begins.
func (s *source) ahead() int {
	offset := int(s.dec.InputOffset())
	for offset < len(s.text) && bytes.IndexByte([]byte(" \t\r\n:,"), s.text[offset]) >= 0 {
		offset++
	}
	return offset
}

// more reports whether the object or list that is open has another element.
func (s *source) more() bool { return s.dec.More() }

// key is the next key of an object.
func (s *source) key() (string, error) {
	t, err := s.next()
	k, _ := t.(string)
	return k, err
}

// open takes the bracket that begins what p is.
func (s *source) open(d json.Delim, p *path, want string) error {
	t, err := s.next()
	if err != nil {
		return err
	}
	if t != d {
		return p.want(want, t)
	}
	return nil
}

// end takes what must be the closing bracket of p.
func (s *source) end(p *path, want string) error {
	t, err := s.next()
	if err != nil {
		return err
	}
	if d, ok := t.(json.Delim); !ok || d != '}' && d != ']' {
		return p.errorf("%s; %s is too much", want, describe(t))
	}
	return nil
}

// finish makes sure that nothing comes after the value.
func (s *source) finish() error {
	offset := s.ahead()
	if _, err := s.dec.Token(); errors.Is(err, io.EOF) {
		return nil
	}
	line, col := lineCol(s.text, offset)
	return fmt.Errorf("arguments:%d:%d: one object is all; this is too much", line, col)
}

// path is the way from the arguments to a value, for errors.
type path struct {
	up    *path
	name  string // of a field
	index int    // of an element, when name is empty
}

func (p *path) field(name string) *path { return &path{up: p, name: name} }

func (p *path) at(i int) *path { return &path{up: p, index: i} }

// maxPath bounds a path in an error: the nearest steps to the value are the ones that help.
const maxPath = 12

// String returns "argument user.address[2].zip".
func (p *path) String() string {
	var steps []string
	for ; p != nil && p.up != nil; p = p.up {
		if len(steps) == maxPath {
			steps = append(steps, "…")
			break
		}
		if p.name == "" {
			steps = append(steps, "["+strconv.Itoa(p.index)+"]")
		} else {
			steps = append(steps, "."+shorten(p.name))
		}
	}
	if len(steps) == 0 {
		return "arguments"
	}
	var b strings.Builder
	for i := len(steps) - 1; i >= 0; i-- {
		b.WriteString(steps[i])
	}
	return "argument " + strings.TrimPrefix(b.String(), ".")
}

func (p *path) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %s", p, fmt.Sprintf(format, args...))
}

func (p *path) want(want string, got json.Token) error {
	return p.errorf("want %s, got %s", want, describe(got))
}

// describe says what a token is.
func describe(t json.Token) string {
	switch v := t.(type) {
	case nil:
		return "null"
	case json.Delim:
		return map[json.Delim]string{'{': "an object", '[': "a list"}[v]
	case string:
		return "string " + strconv.Quote(shorten(v))
	case json.Number:
		return "number " + shorten(v.String())
	default:
		return fmt.Sprint(v)
	}
}

func shorten(s string) string {
	if len(s) <= 40 {
		return s
	}
	cut := 40
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
