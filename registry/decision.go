package registry

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
)

// decision is what the manager decides about an endpoint, or a remote proxy, that its source does not name any more.
type decision uint8

const (
	heldNow         decision = iota // it is kept
	namedAgain                      // held, and named again: all is well
	namedElsewhere                  // another source names it: nothing to hold
	failedProbes                    // held, until it did not answer our own probes
	confirmed                       // held, until the hold was over and the source had looked again
	unproven                        // held, until the hold was over and nothing but a re-used address spoke for it
	addressReused                   // somebody else has its address
	wasTerminating                  // at once: it was on its way out
	wasFinal                        // at once: the source knows that it is gone
	wasIntended                     // at once: the source is authoritative
	wasOrdinary                     // at once: few, and not the last
	numberDecisions = iota
)

// The words of metrics and logs.
var decisionWords = [numberDecisions]string{
	"held", "named", "elsewhere", "probe", "confirmed", "expired", "reused", "terminating", "final", "intent", "ordinary",
}

var decisionTexts = [numberDecisions]string{
	"kept although the source does not name them any more: too many at once, or the last",
	"named again by their source; not held any more",
	"not held: another source names them",
	"gone: held, and they did not answer our probes",
	"gone: the hold is over, and the source has confirmed that it does not name them",
	"gone: the hold is over, and an answer at a re-used address would be no evidence",
	"gone: somebody else has their address",
	"gone: they were terminating",
	"gone: the source says that this is final",
	"gone: the source is authoritative",
	"gone: few, and not the last",
}

// Bounds of what is said at once.
const (
	logLines = 20 // lines; then a sum
	logAddrs = 5  // addresses in a line
)

// journal collects decisions until they are logged: one line for each service and decision. Run only.
type journal struct {
	log     *slog.Logger
	totals  [numberDecisions]atomic.Uint64 // read by Stats
	entries map[journalKey]*journalEntry
}

type journalKey struct {
	what            decision
	source, service string
}

type journalEntry struct {
	count int
	addrs []string // the first of them
}

func (j *journal) note(what decision, source, service, addr string) {
	j.totals[what].Add(1)
	if j.entries == nil {
		j.entries = make(map[journalKey]*journalEntry)
	}
	k := journalKey{what, source, service}
	e := j.entries[k]
	if e == nil {
		e = &journalEntry{}
		j.entries[k] = e
	}
	if e.count++; len(e.addrs) < logAddrs {
		e.addrs = append(e.addrs, addr)
	}
}

// tell logs what was collected: the most important decisions first, and no more than logLines.
func (j *journal) tell() {
	if len(j.entries) == 0 {
		return
	}
	keys := slices.SortedFunc(maps.Keys(j.entries), func(a, b journalKey) int {
		return cmp.Or(cmp.Compare(a.what, b.what), cmp.Compare(a.source, b.source), cmp.Compare(a.service, b.service))
	})
	for _, k := range keys[:min(len(keys), logLines)] {
		e := j.entries[k]
		level, who := slog.LevelInfo, "endpoints "
		if k.what == heldNow || k.what == failedProbes || k.what == unproven {
			level = slog.LevelWarn
		}
		if k.service == "" {
			who = "remote proxies "
		}
		j.log.Log(context.Background(), level, who+decisionTexts[k.what],
			"decision", decisionWords[k.what], "source", k.source, "service", k.service, "endpoints", e.count, "some", e.addrs)
	}
	if left := keys[min(len(keys), logLines):]; len(left) > 0 {
		n := 0
		for _, k := range left {
			n += j.entries[k].count
		}
		j.log.Warn("more decisions about endpoints, not logged one by one", "services", len(left), "endpoints", n)
	}
	j.entries = nil
}

func (j *journal) counts() map[string]uint64 {
	out := make(map[string]uint64, numberDecisions)
	for d, word := range decisionWords {
		out[word] = j.totals[d].Load()
	}
	return out
}
