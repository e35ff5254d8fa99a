package config

import (
	"fmt"
	"slices"

	"github.com/bellhop-mesh/bellhop/registry/strict"
)

// Problem is one thing that is wrong in a configuration file; told as in a registry file.
type Problem = strict.Problem

// Problems is the error of a configuration that can't be used: all that is wrong, by line. It has at least one entry.
type Problems = strict.Problems

// maxProblems bounds what is told of a hopeless file.
const maxProblems = 100

// sorted brings problems into the order of their lines and bounds them.
func sorted(ps Problems) Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int { return a.Line - b.Line })
	if over := len(ps) - maxProblems; over > 0 {
		ps = append(ps[:maxProblems:maxProblems], Problem{File: ps[0].File, Text: fmt.Sprintf("and %d more problems; mend these first", over)})
	}
	return ps
}
