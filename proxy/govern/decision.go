package govern

import (
	"slices"
	"strings"
)

// Decision is a policy and where the limits of it count. It belongs to its Resolved.
type Decision struct {
	Policy Policy
	Rules  []Matched // that decided something, in order
	limits []keyed   // of Policy.Limits

	counters []*uint64 // of what the rules have decided
}

// Counts are the counters of one rule. They belong to who keeps them: one goroutine at a time.
type Counts struct {
	Calls    [NumActions]uint64
	Outcomes [NumOutcomes]uint64
}

// Outcome is what became of a call at a limit.
type Outcome uint8

// The outcomes, but for that it passed.
const (
	Rejected    Outcome = iota // it was refused
	Queued                     // it had to wait
	QueueFull                  // it would have had to, and too many did: refused
	QueueLate                  // it waited in vain: refused
	Overflowed                 // the remote tier has it
	Privileged                 // its source passes limits
	NumOutcomes = int(Privileged) + 1
)

var outcomeWords = [NumOutcomes]string{"rejected", "queued", "queue_full", "queue_late", "overflowed", "privileged"}

// String returns the word used in metrics.
func (o Outcome) String() string { return outcomeWords[o] }

// Count counts a call for the rules that have decided something of it. It belongs to whose the counters are.
func (d *Decision) Count() {
	for _, n := range d.counters {
		*n++
	}
}

// Matched is a rule that has decided something.
type Matched struct {
	Name    string
	Actions [NumActions]bool // what
}

// keyed is where a limit counts the calls of a decision.
type keyed struct {
	limit   *Limit
	key     string // but for the caller
	caller  bool   // the name that a call claims is part of it
	bucket  *Bucket
	callers map[string]*Bucket
}

// The bounds of what is remembered of the names that calls claim. A name above the bound counts by its beginning.
const (
	maxCallers = 1000 // in one decision; beyond it all are looked up again
	maxCaller  = 128  // bytes of a name
)

// keyOf is where a limit counts calls of one source to one method.
func keyOf(l *Limit, r *Resolved) keyed {
	k := keyed{limit: l, caller: slices.Contains(l.By, ByCaller)}
	var b strings.Builder
	add := func(by By, word, value string) {
		if !slices.Contains(l.By, by) {
			return
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(word + " " + value)
	}
	add(BySource, "source", r.src.Key)
	add(ByWorkload, "workload", r.src.Workload)
	add(ByService, "service", r.service)
	add(ByMethod, "method", r.method)
	if k.key = b.String(); k.caller {
		if k.key != "" {
			k.key += ", "
		}
		k.key += "caller "
	} else if k.key == "" {
		k.key = "all"
	}
	return k
}

// Bucket is where the limit Policy.Limits[i] counts a call. now is a worker's clock. It may take a mutex for a key that is
// new to this decision.
func (d *Decision) Bucket(i int, caller []byte, now int64) *Bucket {
	k := &d.limits[i]
	if !k.caller {
		if k.bucket == nil || k.bucket.gone.Load() || k.bucket == k.limit.state.other {
			k.bucket = k.limit.state.find(k.key, now)
		}
		return k.bucket
	}
	caller = caller[:min(len(caller), maxCaller)]
	if b := k.callers[string(caller)]; b != nil && !b.gone.Load() {
		return b
	}
	b := k.limit.state.find(k.key+string(caller), now)
	if b == k.limit.state.other { // it may get its own later
		return b
	}
	if k.callers == nil || len(k.callers) >= maxCallers {
		k.callers = map[string]*Bucket{}
	}
	k.callers[b.Key[len(k.key):]] = b // the name is there once
	return b
}
