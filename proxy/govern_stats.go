package proxy

import (
	"context"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// RuleStats are the counters of one rule over all workers.
type RuleStats struct {
	Rule     string
	Speaks   [govern.NumActions]bool    // what it says something of
	Calls    [govern.NumActions]uint64  // of which it has decided that
	Outcomes [govern.NumOutcomes]uint64 // what became of calls at its limit, but for those that passed
	Keys     int                        // that its limit counts each for itself
	Shared   uint64                     // times that a key was beyond the bound
}

// RulesStats are what is known of the rules in force.
type RulesStats struct {
	Rules    []RuleStats // in the document's order
	Sources  int         // entries that speak of sources
	Waiting  int         // calls that wait for a limit
	Resolved int         // sources and methods of which workers remember what rules say
}

// RuleStats asks every worker. The error says that one did not come round before ctx ended: what is there is returned all
// the same. Safe for concurrent use.
func (p *Proxy) RuleStats(ctx context.Context) (RulesStats, error) {
	r := p.rules.Load()
	out := RulesStats{Rules: make([]RuleStats, r.Len()), Sources: r.Sources()}
	index := make(map[string]*RuleStats, r.Len())
	for i := range out.Rules {
		s, rule := &out.Rules[i], r.Rule(i)
		s.Rule, index[rule.Name] = rule.Name, s
		for a := range s.Speaks {
			s.Speaks[a] = rule.Speaks(govern.Action(a))
		}
	}
	for _, l := range r.Limits(p.clock()) {
		index[l.Rule].Keys, index[l.Rule].Shared = l.Keys, l.Shared
	}
	type part struct {
		counts            map[string]govern.Counts
		waiting, resolved int
	}
	parts := make(chan part, len(p.workers))
	err := p.each(ctx, func(w *worker) {
		n := part{make(map[string]govern.Counts, len(w.ruleCounts)), w.limitQueues.waiting, len(w.resolved.now) + len(w.resolved.old)}
		for name, c := range w.ruleCounts {
			n.counts[name] = *c
		}
		parts <- n
	})
	for len(parts) > 0 {
		n := <-parts
		out.Waiting += n.waiting
		out.Resolved += n.resolved
		for name, c := range n.counts {
			if s := index[name]; s != nil {
				s.add(&c)
			}
		}
	}
	return out, err
}

func (s *RuleStats) add(c *govern.Counts) {
	for a, n := range c.Calls {
		s.Calls[a] += n
	}
	for o, n := range c.Outcomes {
		s.Outcomes[o] += n
	}
}
