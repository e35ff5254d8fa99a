package proxy

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
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
	lookups       atomic.Int64 // services being looked up for it, over all workers
	total         atomic.Uint64
	failed        atomic.Uint64
	queued        atomic.Int64          // calls that wait
	share         atomic.Pointer[share] // as the rules have it that were asked last
}

// sources finds a source by its key. Safe for concurrent use.
type sources struct {
	mu    sync.Mutex
	byKey map[string]*source
}

// join counts one more connection of a source; nil when it has max already.
func (s *sources) join(id Identity, max int) *source {
	s.mu.Lock()
	defer s.mu.Unlock()
	src := s.byKey[id.Source]
	if src == nil {
		src = &source{Identity: id, sourceBytes: []byte(id.Source), workloadBytes: []byte(id.Workload)}
		src.workloadKey = maphash.String(workloadSeed, src.team())
		s.byKey[id.Source] = src
	}
	if src.conns.Load() >= int64(max) {
		return nil
	}
	src.conns.Add(1)
	return src
}

// team is the source's workload, or where none is known its own key.
func (s *source) team() string {
	if s.Workload != "" {
		return s.Workload
	}
	return s.Source
}

var workloadSeed = maphash.MakeSeed()

// leave ends one connection of a source. A source without connections is kept for its counters while there is room.
func (s *sources) leave(src *source, keep int) {
	if src.conns.Add(-1) > 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if src.conns.Load() == 0 && src.calls.Load() == 0 && len(s.byKey) > keep {
		delete(s.byKey, src.Source)
	}
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
}

// Sources returns all sources that have a connection, and others that are remembered. Safe for concurrent use.
func (p *Proxy) Sources() []SourceStats {
	p.sources.mu.Lock()
	defer p.sources.mu.Unlock()
	out := make([]SourceStats, 0, len(p.sources.byKey))
	for _, s := range p.sources.byKey {
		out = append(out, SourceStats{
			Source: s.Source, Workload: s.Workload, Conns: s.conns.Load(), InFlight: s.calls.Load(), Bytes: s.bytes.Load(),
			Calls: s.total.Load(), Failed: s.failed.Load(),
		})
	}
	return out
}
