package proxy

import (
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// source is what all connections of one caller share: its budgets and its counters. It is found at accept and kept
// while the caller has a connection. The counters are atomic because a source's connections live on several loops.
type source struct {
	Identity
	sourceBytes   []byte
	workloadBytes []byte
	workloadKey   uint64       // the same for the sources of one workload; of its own where none is known
	calls         atomic.Int64 // in flight
	bytes         atomic.Int64 // buffered
	conns         atomic.Int64
	queued        atomic.Int64 // calls that wait, for a connection or a limit
	lookups       atomic.Int64 // services being looked up for it, over all workers
	total         atomic.Uint64
	failed        atomic.Uint64

	lanes          []atomic.Pointer[lane] // by worker
	weight         atomic.Int64           // among the sources of its workload
	workloadWeight atomic.Int64           // ... of that among workloads
	held           atomic.Int64           // its weight while it has calls in flight, as team knows it
	team           *crew                  // its workload
	conduct        conduct
	work           atomic.Uint64 // what its calls cost, in workUnit
	excess         atomic.Uint32 // the share of its calls beyond its own, of spillOne
	spill          atomic.Uint64 // sum of excess over its calls
	moved          atomic.Bool   // is asked to use the remote tier
	privileged     atomic.Bool   // by a rule
	worked         uint64        // work when the guard looked last; the guard's alone
	rate           float64       // of work a second, likewise
}

// sources finds a source by its key. Safe for concurrent use.
type sources struct {
	mu      sync.Mutex
	byKey   map[string]*source
	crews   map[string]*crew // by workload
	workers int
	rules   *govern.Rules // nil: all weigh 1, and nobody is privileged
}

// join counts one more connection of a source; nil when it has max already.
func (s *sources) join(id Identity, max int) *source {
	s.mu.Lock()
	defer s.mu.Unlock()
	src := s.byKey[id.Source]
	if src == nil {
		src = &source{Identity: id, sourceBytes: []byte(id.Source), workloadBytes: []byte(id.Workload), lanes: make([]atomic.Pointer[lane], s.workers)}
		src.workloadKey = maphash.String(workloadSeed, src.teamName())
		src.ruledBy(s.rules)
		src.team = s.crew(src.teamName())
		s.byKey[id.Source] = src
	}
	if src.conns.Load() >= int64(max) {
		return nil
	}
	src.conns.Add(1)
	return src
}

// teamName is the source's workload, or where none is known its own key.
func (s *source) teamName() string {
	if s.Workload != "" {
		return s.Workload
	}
	return s.Source
}

var workloadSeed = maphash.MakeSeed()

// maxWeight is the most that a source or a workload may weigh.
const maxWeight = 1000

// ruledBy takes up what rules say of the source.
func (s *source) ruledBy(r *govern.Rules) {
	p := r.Source(s.known())
	s.weight.Store(int64(min(max(p.Weight, 1), maxWeight)))
	s.workloadWeight.Store(int64(min(max(p.WorkloadWeight, 1), maxWeight)))
	s.privileged.Store(p.Privileged)
}

// ruledBy has all that are there take up what rules say of them, and those to come. The weights hold from their next turn on.
func (s *sources) ruledBy(r *govern.Rules) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = r
	for _, src := range s.byKey {
		src.ruledBy(r)
	}
}

// quarantined reports whether a source is kept out.
func (s *sources) quarantined(key string, now int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	src := s.byKey[key]
	return src != nil && src.quarantined(now)
}

// leave ends one connection of a source. A source without connections is kept for its counters while there is room, and for
// its conduct as long as that counts.
func (s *sources) leave(src *source, keep int, now int64, window time.Duration) {
	if src.conns.Add(-1) > 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(src, keep, now, window)
	looks := 0
	for _, old := range s.byKey { // any of them: those whose conduct had counted
		if looks++; looks > forgetLook || len(s.byKey) <= keep {
			break
		}
		s.forget(old, keep, now, window)
	}
}

// forgetLook is how many sources are looked at besides, while there are too many, when one leaves.
const forgetLook = 8

// forget lets go of a source when there are too many and nothing of it counts any more. The lock is held.
func (s *sources) forget(src *source, keep int, now int64, window time.Duration) {
	if len(s.byKey) <= keep || s.byKey[src.Source] != src || src.conns.Load() != 0 || src.calls.Load() != 0 || src.conduct.counts(now, window) {
		return
	}
	delete(s.byKey, src.Source)
	if src.team.sources--; src.team.sources == 0 {
		delete(s.crews, src.teamName())
	}
}

// A call costs about as much as workUnit times workBytes of its bytes.
const (
	workUnit  = 16
	workBytes = 512
)

// all returns the sources there are.
func (s *sources) all() []*source {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*source, 0, len(s.byKey))
	for _, src := range s.byKey {
		out = append(out, src)
	}
	return out
}

// SourceStats is what is known of one source.
type SourceStats struct {
	Source   string `json:"source"`
	Workload string `json:"workload,omitempty"`
	Conns    int64  `json:"connections"`
	InFlight int64  `json:"calls_in_flight"`
	Bytes    int64  `json:"bytes_buffered"`
	Calls    uint64 `json:"calls"`
	Failed   uint64 `json:"failed"`

	Queued         int64         `json:"calls_queued"` // waiting for a connection
	Weight         int64         `json:"weight"`       // among the sources of its workload
	WorkloadWeight int64         `json:"workload_weight"`
	Delay          DelayStats    `json:"queue_delay"`
	Quarantined    time.Duration `json:"quarantined_ns"` // for so long yet; 0: it is not
	Quarantines    uint64        `json:"quarantines"`
}

// Sources returns all sources that have a connection, and others that are remembered. Safe for concurrent use.
func (p *Proxy) Sources() []SourceStats {
	p.sources.mu.Lock()
	all := slices.Collect(maps.Values(p.sources.byKey))
	p.sources.mu.Unlock()
	now := p.clock()
	out := make([]SourceStats, 0, len(all))
	for _, s := range all {
		out = append(out, s.stats(now))
	}
	return out
}

// stats is what is known of the source at now, the workers' clock. Safe for concurrent use.
func (s *source) stats(now int64) SourceStats {
	return SourceStats{
		Source: s.Source, Workload: s.Workload, Conns: s.conns.Load(), InFlight: s.calls.Load(), Bytes: s.bytes.Load(),
		Calls: s.total.Load(), Failed: s.failed.Load(), Queued: s.queued.Load(), Weight: s.weight.Load(),
		WorkloadWeight: s.workloadWeight.Load(), Delay: s.delay(), Quarantines: s.conduct.times.Load(),
		Quarantined: time.Duration(max(s.conduct.until.Load()-now, 0)),
	}
}

func (s *source) delay() DelayStats {
	var all []*delays
	for i := range s.lanes {
		if l := s.lanes[i].Load(); l != nil {
			if d := l.delays.Load(); d != nil {
				all = append(all, d)
			}
		}
	}
	return sumDelays(all)
}
