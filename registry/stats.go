package registry

import "sync/atomic"

// Stats are a manager's counters, read at scrape by a collector that lives elsewhere.
type Stats struct {
	Updates         uint64            // updates taken from sources
	RejectedUpdates uint64            // updates refused as broken; the old part stood
	SourceErrors    uint64            // times a source's Run failed and was started again
	LastGoodUnix    int64             // when the last good update was read, Unix seconds; 0: never in this process
	Sources         int               // sources that have said something in this process that was taken, and handed out
	Services        int               // in the present snapshot
	Endpoints       int               // in the present snapshot, held ones included
	Remotes         int               // in the present snapshot
	HeldEndpoints   int               // kept although their source removed them; see ManagerConfig.HoldRemoved
	Decisions       map[string]uint64 // about endpoints that their source stopped naming, by the word that is logged
	ProbesOK        uint64            // probes of held endpoints that answered
	ProbesFailed    uint64            // … that did not
	ProbesVoid      uint64            // … that failed for a reason of this host, and say nothing
	ProbesSkipped   uint64            // looks at held endpoints that needed none: a call had just succeeded
	LKGWrites       uint64            // last-known-good files written
	LKGWriteErrors  uint64            // last-known-good files that could not be written
}

type counters struct {
	updates, rejected, sourceErrors, lkgWrites, lkgWriteErrors atomic.Uint64
	probesOK, probesFailed, probesVoid, probesSkipped          atomic.Uint64
	lastGood, sources, services, endpoints, remotes, held      atomic.Int64
}

func (c *counters) describe(s *Snapshot, held int) {
	endpoints := 0
	for _, svc := range s.Services {
		endpoints += len(svc.Endpoints)
	}
	c.services.Store(int64(len(s.Services)))
	c.endpoints.Store(int64(endpoints))
	c.remotes.Store(int64(len(s.Remotes)))
	c.held.Store(int64(held))
}

// Stats returns the counters as they are now. Safe for concurrent use.
func (m *Manager) Stats() Stats {
	c := &m.stats
	return Stats{
		Updates: c.updates.Load(), RejectedUpdates: c.rejected.Load(), SourceErrors: c.sourceErrors.Load(),
		LastGoodUnix: c.lastGood.Load(), Sources: int(c.sources.Load()), Services: int(c.services.Load()), Endpoints: int(c.endpoints.Load()),
		Remotes: int(c.remotes.Load()), HeldEndpoints: int(c.held.Load()), Decisions: m.journal.counts(),
		ProbesOK: c.probesOK.Load(), ProbesFailed: c.probesFailed.Load(), ProbesVoid: c.probesVoid.Load(), ProbesSkipped: c.probesSkipped.Load(),
		LKGWrites: c.lkgWrites.Load(), LKGWriteErrors: c.lkgWriteErrors.Load(),
	}
}
