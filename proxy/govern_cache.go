package proxy

import (
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// resolved is what a worker remembers of the rules: what they say of the calls of a source to a method. Of the two halves
// the old one goes when the new one is full; what is used is carried over. Loop only.
type resolved struct {
	now, old map[resolvedKey]*govern.Resolved
}

type resolvedKey struct {
	cluster *cluster.Cluster
	src     *source
	method  string
}

// maxResolved bounds one half.
const maxResolved = 8192

// resolve returns what the rules say of the calls of a source to a method. It allocates for what it has not met yet.
func (w *worker) resolve(c *call) *govern.Resolved {
	s := &w.resolved
	if c.dry != nil { // nobody asks again, and perhaps there is no such source
		return w.rules.Resolve(c.cluster.Name, string(c.to.Method), c.src.known(), govern.Uncounted)
	}
	if r := s.now[resolvedKey{c.cluster, c.src, string(c.to.Method)}]; r != nil {
		return r
	}
	r := s.old[resolvedKey{c.cluster, c.src, string(c.to.Method)}]
	key := resolvedKey{c.cluster, c.src, string(c.to.Method)}
	if r == nil {
		r = w.rules.Resolve(c.cluster.Name, key.method, c.src.known(), w.counts)
	}
	if s.now == nil || len(s.now) >= maxResolved {
		s.now, s.old = map[resolvedKey]*govern.Resolved{}, s.now
	}
	s.now[key] = r
	return r
}

// forget is due when rules or table change.
func (s *resolved) forget() { s.now, s.old = nil, nil }

// known is the source as rules see it.
func (s *source) known() *govern.Source {
	return &govern.Source{Key: s.Source, Workload: s.Workload, Namespace: s.Namespace, Unit: s.Unit, PodLabels: s.Labels}
}

// newRules takes rules up. Loop only.
func (w *worker) newRules(r *govern.Rules) {
	w.rules = r
	w.resolved.forget()
	old := w.ruleCounts
	w.ruleCounts = map[string]*govern.Counts{}
	for i := range r.Len() {
		if n := old[r.Rule(i).Name]; n != nil {
			w.ruleCounts[r.Rule(i).Name] = n
		}
	}
}

// counts returns the counters of a rule. Loop only.
func (w *worker) counts(rule string) *govern.Counts {
	n := w.ruleCounts[rule]
	if n == nil {
		n = &govern.Counts{}
		w.ruleCounts[rule] = n
	}
	return n
}
