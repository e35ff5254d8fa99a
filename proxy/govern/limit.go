package govern

import (
	"strconv"
	"time"
)

// Limit bounds calls by rate, by how many are in flight, or both.
type Limit struct {
	Rule        string
	Rate        float64       // calls a second; 0: not bounded
	Burst       int           // calls at once
	Concurrency int           // calls in flight; 0: not bounded
	By          []By          // what has a limit of its own; none: all that match share one
	Excess      Excess        // what becomes of a call beyond it
	QueueFor    time.Duration // Excess queue: how long it waits at most
	QueueMost   int           // ... and how many do, for each key

	state *limiter // set by New
}

// By is what a limit counts for.
type By uint8

// What a limit can count for.
const (
	BySource By = iota
	ByWorkload
	ByCaller // the name that the frame claims
	ByService
	ByMethod
)

// Excess is what becomes of a call beyond a limit.
type Excess uint8

// What can become of it.
const (
	Reject   Excess = iota // a policy fault: it is not sent again
	Queue                  // it waits, for a bounded time
	Overflow               // the remote tier has it, within its grant; else rejected
)

// String returns the bounds as people read them.
func (l *Limit) String() string {
	s := ""
	if l.Rate > 0 {
		s = strconv.FormatFloat(l.Rate, 'g', 4, 64) + " calls a second"
	}
	if l.Concurrency > 0 {
		if s != "" {
			s += " and "
		}
		s += strconv.Itoa(l.Concurrency) + " in flight"
	}
	return s
}
