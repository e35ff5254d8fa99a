package proxy

import "sync/atomic"

// This file shares limits.total_calls out. While the proxy has room a source may have up to limits.source_calls in flight,
// what others do not use is lent to it; when room gets scarce each is held to its share by weight, workloads first, among
// those that have calls in flight. A call costs two additions; the weights of those who are active are counted when a source
// begins and ceases to be.

// crew is a workload as far as calls in flight go. Safe for concurrent use.
type crew struct {
	active  atomic.Int64 // weights of its sources that have calls in flight
	held    atomic.Int64 // its own weight while there are such, as Proxy.active knows it
	sources int          // guarded by sources.mu
}

// crew finds or makes a workload's. The lock is held.
func (s *sources) crew(workload string) *crew {
	c := s.crews[workload]
	if c == nil {
		if s.crews == nil {
			s.crews = map[string]*crew{}
		}
		c = &crew{}
		s.crews[workload] = c
	}
	c.sources++
	return c
}

// lendShare is the part of limits.total_calls up to which what others do not use is lent.
const lendShare = 0.5

// SetLend says how much of what is lent when all is well is lent now: 1 all, 0 nothing, so that every source is held to its
// share of limits.total_calls. Safe for concurrent use.
func (p *Proxy) SetLend(part float64) {
	p.lendUntil.Store(int64(float64(p.cfg.Limits.TotalCalls) * lendShare * min(max(part, 0), 1)))
}

// begin counts one more call of a source in flight, and returns how many it has.
func (p *Proxy) begin(s *source) (calls int64) {
	if calls = s.calls.Add(1); calls == 1 {
		p.activate(s)
	}
	return calls
}

// cease counts one less.
func (p *Proxy) cease(s *source) {
	if s.calls.Add(-1) == 0 {
		p.activate(s)
	}
}

// activate takes note of whether a source has calls in flight. Sources and workloads come and go on several loops at once:
// every change is one exchange, so nothing is counted twice, and whoever changes last has looked last.
func (p *Proxy) activate(s *source) {
	for {
		want := int64(0)
		if s.calls.Load() > 0 {
			want = s.weight.Load()
		}
		if d := want - s.held.Swap(want); d != 0 {
			s.team.active.Add(d)
			p.activateTeam(s)
		}
		if (s.calls.Load() > 0) == (want > 0) {
			return
		}
	}
}

func (p *Proxy) activateTeam(s *source) {
	t := s.team
	for {
		want := int64(0)
		if t.active.Load() > 0 {
			want = s.workloadWeight.Load()
		}
		if d := want - t.held.Swap(want); d != 0 {
			p.active.Add(d)
		}
		if (t.active.Load() > 0) == (want > 0) {
			return
		}
	}
}

// fairShare is how many calls in flight are a source's when every bit of limits.total_calls is wanted, 1 at least.
func (p *Proxy) fairShare(s *source) int64 {
	one, all := s.weight.Load(), s.workloadWeight.Load()
	ofTeam := float64(one) / float64(max(s.team.active.Load(), one))
	ofAll := float64(all) / float64(max(p.active.Load(), all))
	return max(int64(float64(p.cfg.Limits.TotalCalls)*ofAll*ofTeam), 1)
}

// overShare reports whether a source with so many calls in flight has to leave room to others.
func (p *Proxy) overShare(s *source, calls, total int64) bool {
	return total > p.lendUntil.Load() && calls > p.fairShare(s)
}
