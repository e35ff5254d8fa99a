package rules

import (
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

// First is the first problem, told as in a log: "place:line: key: what is wrong; what to write instead".
func (r *Refusal) First() string {
	p := r.Problems[0]
	return strict.Problem{File: r.From, Line: p.Line, Key: p.Key, Text: p.Text}.String()
}

// Problem is one thing that is wrong.
type Problem struct {
	Line int    `json:"line"` // 0: it is about the document as a whole
	Key  string `json:"key"`  // the path of the key; "": likewise
	Text string `json:"text"`
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
