package config

import (
	"fmt"
	"slices"
	"strings"
)

// maxProblems bounds what is told of a hopeless file.
const maxProblems = 100

// Problem is one thing that is wrong in a configuration file.
type Problem struct {
	File string
	Line int    // from 1; 0 when it is about the file as a whole
	Key  string // the path of the key, like listeners[0].mode; "" when it is about the file as a whole
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

// Problems is the error of a configuration that can't be used: all that is wrong, by line. It has at least one entry.
type Problems []Problem

// Error returns one line per problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// sorted brings problems into the order of their lines and bounds them.
func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int { return a.Line - b.Line })
	if over := len(ps) - maxProblems; over > 0 {
		ps = append(ps[:maxProblems:maxProblems], Problem{File: ps[0].File, Text: fmt.Sprintf("and %d more problems; mend these first", over)})
	}
	return ps
}
