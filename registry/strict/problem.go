package strict

import (
	"fmt"
	"slices"
	"strings"
)

// maxProblems bounds what is kept of a hopeless file.
const maxProblems = 100

// Problem is one thing that is wrong in a document.
type Problem struct {
	File string // as it was opened
	Line int    // from 1; 0 when it is about the file as a whole
	Key  string // the path of the key, like services.demo.Greeter.timeout; "" when it is about the file as a whole
	Text string // what is wrong; what to write instead
}

// String returns "file:line: key.path: what is wrong; what to write instead".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems is the error of a document that could not be read: all that is wrong with it, by file and line. It has at
// least one entry.
type Problems []Problem

// Error returns one line per problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Report collects Problems up to a bound. The zero value is ready.
type Report struct {
	list    Problems
	dropped int
}

// Add reports a problem; line 0 and key "" say that it is about the document as a whole.
func (c *Report) Add(file string, line int, key, format string, args ...any) {
	if len(c.list) == maxProblems {
		c.dropped++
		return
	}
	c.list = append(c.list, Problem{File: file, Line: line, Key: key, Text: fmt.Sprintf(format, args...)})
}

// Err returns nil or everything collected, each file's problems in the order of its lines.
func (c *Report) Err() error {
	if len(c.list) == 0 {
		return nil
	}
	list := slices.Clone(c.list)
	slices.SortStableFunc(list, func(a, b Problem) int {
		if a.File != b.File {
			return strings.Compare(a.File, b.File)
		}
		return a.Line - b.Line
	})
	if c.dropped > 0 {
		last := list[len(list)-1]
		list = append(list, Problem{File: last.File, Text: fmt.Sprintf("and %d more problems; mend these first", c.dropped)})
	}
	return list
}

// Len is how many problems there were, those beyond the bound included.
func (c *Report) Len() int { return len(c.list) + c.dropped }
