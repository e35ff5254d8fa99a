package rules

import (
	"errors"
	"time"

	"github.com/bellhop-mesh/bellhop/registry/strict"
)

// Status is what a center knows of its place.
type Status struct {
	Source  string   `json:"source"`             // what kind of place it is
	InForce *InForce `json:"in_force,omitempty"` // nil: no rules
	Refused *Refusal `json:"refused,omitempty"`  // the last version that was refused; nil: none was
	Wrong   bool     `json:"wrong"`              // what is in the place now was refused
	Missing bool     `json:"missing"`            // there is no document in the place now

	Accepted        uint64 `json:"accepted"`          // documents that came into force, since the start
	RefusedN        uint64 `json:"refused_versions"`  // versions refused
	SourceErrors    uint64 `json:"source_errors"`     // times that the source had to be started again
	ReadErrors      uint64 `json:"read_errors"`       // times that the source could not read the document
	LastGoodWrites  uint64 `json:"last_good_writes"`  // last-good files written
	LastGoodErrors  uint64 `json:"last_good_errors"`  // … that could not be
	LastGoodProblem string `json:"last_good_problem"` // why the last one could not be; "" when it could
}

// InForce says which document is in force.
type InForce struct {
	From     string    `json:"from"`
	Version  string    `json:"version"`
	Digest   string    `json:"digest"`
	Since    time.Time `json:"since"`     // when it came into force in this process
	LastGood bool      `json:"last_good"` // it is from the last run; the place has not confirmed it
}

// Refusal says which document was refused, and why.
type Refusal struct {
	From     string    `json:"from"`
	Version  string    `json:"version"`
	Digest   string    `json:"digest"`
	When     time.Time `json:"when"`
	Problems []Problem `json:"problems"` // by line; at least one
}

// Told returns the problems as "place:line: key: what is wrong; what to write instead".
func (r *Refusal) Told() []string {
	out := make([]string, len(r.Problems))
	for i, p := range r.Problems {
		out[i] = strict.Problem{File: r.From, Line: p.Line, Key: p.Key, Text: p.Text}.String()
	}
	return out
}

// Problem is one thing that is wrong.
type Problem struct {
	Line int    `json:"line"` // 0: it is about the document as a whole
	Key  string `json:"key"`  // the path of the key; "": likewise
	Text string `json:"text"`
}

// ProblemsOf returns the problems of an error of Parse; of another error its text.
func ProblemsOf(err error) []Problem {
	var ps Problems
	if !errors.As(err, &ps) {
		return []Problem{{Text: err.Error()}}
	}
	out := make([]Problem, len(ps))
	for i, p := range ps {
		out[i] = Problem{p.Line, p.Key, p.Text}
	}
	return out
}

// Status returns what is known now. Safe for concurrent use.
func (c *Center) Status() Status {
	c.mu.Lock()
	s := c.status // what its pointers lead to is replaced and never changed
	c.mu.Unlock()
	if counts, ok := c.source.(interface{ ReadErrors() uint64 }); ok {
		s.ReadErrors = counts.ReadErrors()
	}
	c.saver.describe(&s)
	return s
}
