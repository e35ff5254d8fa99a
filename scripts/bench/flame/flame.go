// Package flame turns the stacks that `perf script` prints into a flame graph and into shares of a program's time by what
// it was spent on. It must never measure: what it is given is what it draws.
//
//	perf script ─► Parse ─► Profile ─┬─► SVG      width is time, callers below callees
//	                                 └─► Shares   each stack in the first class that it fits
package flame

import (
	"bufio"
	"io"
	"slices"
	"strings"
)

// Frame is one function. Kernel: it is the kernel's.
type Frame struct {
	Name   string
	Kernel bool
}

// Profile counts samples by their stack.
type Profile struct {
	Total int
	root  *node
}

type node struct {
	Frame
	self     int // samples that end here
	total    int
	children []*node
}

// Parse reads the output of `perf script -F comm,ip,sym,dso`: for each sample a line with the program's name, then a line
// for each frame, the innermost first, then an empty line.
//
//	bellhop
//	        ffffffff81a3b4c5 tcp_sendmsg ([kernel.kallsyms])
func Parse(r io.Reader) (*Profile, error) {
	p := &Profile{root: &node{}}
	var stack []Frame
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := sc.Text()
		switch {
		case strings.TrimSpace(line) == "":
			p.add(stack)
			stack = stack[:0]
		case line[0] == ' ' || line[0] == '\t':
			if f, ok := parseFrame(line); ok {
				stack = append(stack, f)
			}
		}
	}
	p.add(stack)
	return p, sc.Err()
}

func parseFrame(line string) (Frame, bool) {
	_, rest, ok := strings.Cut(strings.TrimSpace(line), " ") // after the address
	at := strings.LastIndex(rest, " (")
	if !ok || at < 0 {
		return Frame{}, false
	}
	return Frame{Name: rest[:at], Kernel: strings.HasPrefix(rest[at:], " ([kernel")}, true
}

// add counts a stack, innermost frame first.
func (p *Profile) add(stack []Frame) {
	if len(stack) == 0 {
		return
	}
	p.Total++
	n := p.root
	n.total++
	for _, f := range slices.Backward(stack) {
		n = n.child(f)
		n.total++
	}
	n.self++
}

func (n *node) child(f Frame) *node {
	for _, c := range n.children {
		if c.Frame == f {
			return c
		}
	}
	c := &node{Frame: f}
	n.children = append(n.children, c)
	return c
}

// Class is a kind of work: the stacks in which a function has one of the prefixes.
type Class struct {
	Name     string
	Prefixes []string
}

// Share is how much of the time a class took, of 1.
type Share struct {
	Class string
	Of    float64
}

// Shares puts each sample into the first class that one of its frames belongs to; what belongs to none is "other". Classes
// that took nothing are left out.
func (p *Profile) Shares(classes []Class) []Share {
	counts := make([]int, len(classes)+1)
	var walk func(n *node, best int)
	walk = func(n *node, best int) {
		for i := range best {
			if classes[i].holds(n.Name) {
				best = i
				break
			}
		}
		counts[best] += n.self
		for _, c := range n.children {
			walk(c, best)
		}
	}
	walk(p.root, len(classes))
	var out []Share
	for i, n := range counts {
		name := "other"
		if i < len(classes) {
			name = classes[i].Name
		}
		if n > 0 {
			out = append(out, Share{name, float64(n) / float64(max(p.Total, 1))})
		}
	}
	return out
}

func (c *Class) holds(function string) bool {
	for _, p := range c.Prefixes {
		if strings.HasPrefix(function, p) {
			return true
		}
	}
	return false
}
