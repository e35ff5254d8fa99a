package call

import (
	"bufio"
	"bytes"
	"io"
)

// The colours of a terminal, by what they colour.
const (
	colourKey   = "\x1b[34m"
	colourText  = "\x1b[32m"
	colourOther = "\x1b[33m"
	colourOff   = "\x1b[0m"
)

// width is how long a line may be before what stands in it gets lines of its own.
const width = 100

// printer writes compact JSON for people: indented where it is long, coloured where it is asked to.
type printer struct {
	w      *bufio.Writer
	b      []byte
	pos    int
	colour bool
}

// pretty writes b, compact and well-formed JSON, and a line end. The error is the writer's.
func pretty(w io.Writer, b []byte, colour bool) error {
	p := &printer{w: bufio.NewWriter(w), b: b, colour: colour}
	p.value(0, width)
	_ = p.w.WriteByte('\n') // a bufio.Writer keeps its error for Flush
	return p.w.Flush()
}

func (p *printer) put(colour, s string) {
	if colour != "" && p.colour {
		_, _ = p.w.WriteString(colour + s + colourOff)
		return
	}
	_, _ = p.w.WriteString(s)
}

// value writes the value at pos; room is what is left of its line.
func (p *printer) value(indent, room int) {
	switch c := p.b[p.pos]; c {
	case '{', '[':
		p.container(indent, room)
	case '"':
		p.put(colourText, p.token())
	default:
		p.put(colourOther, p.token())
	}
}

// token takes a string or a bare word.
func (p *printer) token() string {
	start := p.pos
	if p.b[p.pos] == '"' {
		for p.pos++; p.b[p.pos] != '"'; p.pos++ {
			if p.b[p.pos] == '\\' {
				p.pos++
			}
		}
		p.pos++
	} else {
		for p.pos < len(p.b) && !bytes.ContainsRune([]byte(",:]}"), rune(p.b[p.pos])) {
			p.pos++
		}
	}
	return string(p.b[start:p.pos])
}

// flat reports whether the value at pos ends within room bytes.
func (p *printer) flat(room int) bool {
	depth := 0
	for i := p.pos; i < len(p.b) && i-p.pos <= room; i++ {
		switch p.b[i] {
		case '"':
			for i++; i < len(p.b) && p.b[i] != '"'; i++ {
				if p.b[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i-p.pos <= room
			}
		}
	}
	return false
}

func (p *printer) container(indent, room int) {
	flat := p.flat(room)
	object := p.b[p.pos] == '{'
	p.put("", string(p.b[p.pos]))
	p.pos++
	empty := p.b[p.pos] == '}' || p.b[p.pos] == ']'
	for p.b[p.pos] != '}' && p.b[p.pos] != ']' {
		if p.b[p.pos] == ',' {
			p.pos++
			p.put("", ",")
			if flat {
				p.put("", " ")
			}
		}
		if !flat {
			p.line(indent + 2)
		}
		taken := 0
		if object {
			key := p.token()
			taken = len(key) + 2
			p.put(colourKey, key)
			p.pos++
			p.put("", ": ")
		}
		if flat {
			p.value(indent, width)
		} else {
			p.value(indent+2, width-indent-2-taken)
		}
	}
	if !flat && !empty {
		p.line(indent)
	}
	p.put("", string(p.b[p.pos]))
	p.pos++
}

func (p *printer) line(indent int) {
	_ = p.w.WriteByte('\n')
	for range indent {
		_ = p.w.WriteByte(' ')
	}
}
