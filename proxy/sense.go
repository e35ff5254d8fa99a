package proxy

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bellhop-mesh/bellhop/proxy/pressure"
)

// sense is what a worker measures of itself, for the guard to read: how long it was in poll rounds, and how long a call that
// comes at any moment waits for the round to end. One writer; a poll round costs it three stores.
//
// A round that lasts t keeps what comes during it waiting for t/2 on average, and t·t/2 is what it adds to the mean wait over
// time (the residual life of renewal theory). It is wall-clock time: a worker whose cgroup has used up its CPU quota is in a
// round that does not end, which its CPU share alone would not tell.
type sense struct {
	busy  atomic.Int64 // ns
	wait  atomic.Int64 // µs²
	since atomic.Int64 // when the round that is not over began, worker clock; 0: none
	ups   atomic.Int32 // connections to endpoints
	turns atomic.Int64 // how long calls have waited for their source's turn, ns; see takeWaits

	counted  Histogram // stats.delays when it was last looked at; the loop's alone
	lookedAt int64     // likewise
}

// open begins a round. Loop only.
func (w *worker) openRound() {
	w.sense.since.Store(w.now)
	if g := &w.p.guard; g.asleep.Load() {
		g.wake()
	}
}

// close ends it. Loop only.
func (w *worker) closeRound(took int64) {
	s := &w.sense
	us := took / 1000
	s.busy.Store(s.busy.Load() + took)
	s.wait.Store(s.wait.Load() + us*us/2)
	s.since.Store(0)
	s.ups.Store(int32(len(w.ups)))
	if w.now-s.lookedAt >= int64(senseTime) {
		s.lookedAt = w.now
		w.takeWaits()
	}
}

// takeWaits publishes what the quarter of the calls that waited least have waited at most since it looked last. A source that
// sends more than its share waits for its turn, as it should: only when nobody gets through in time does the proxy have too
// much to do (CoDel goes by the least wait for the same reason). Loop only.
func (w *worker) takeWaits() {
	s := &w.sense
	window := w.stats.delays
	for i, n := range s.counted.Buckets {
		window.Buckets[i] -= n
	}
	window.Count -= s.counted.Count
	s.counted = w.stats.delays
	least := uint64(0)
	if window.Count >= fewWaits {
		least = window.Quantile(0.25)
	}
	s.turns.Store(int64(least) * 1000)
}

// fewWaits prove nothing.
const fewWaits = 4

// read returns what there was until now, the round under way included. Safe for concurrent use.
func (s *sense) read(now int64) (busy, wait int64) {
	busy, wait = s.busy.Load(), s.wait.Load()
	if since := s.since.Load(); since > 0 && since < now {
		us := (now - since) / 1000
		busy, wait = busy+now-since, wait+us*us/2
	}
	return busy, wait
}

// gauge measures a proxy from look to look. Guard's goroutine only.
type gauge struct {
	at      int64
	took    int64 // ns that the last look was about
	cpu     time.Duration
	workers []struct{ busy, wait int64 }
	cpus    float64 // that the process may use
	asked   int64   // when that was asked
	moved   bool    // a worker had a round since the last look
}

// cpusEvery is how often a changed quota is found, ns.
const cpusEvery = int64(5e9)

// look returns what was measured since the last look; false for the first one.
func (g *gauge) look(p *Proxy, now int64) (x pressure.Sample, ok bool) {
	var ru unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &ru) // fails for no process that asks of itself
	cpu := time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	took := float64(now - g.at)
	ok = g.at > 0 && took > 0
	if g.workers == nil {
		g.workers = make([]struct{ busy, wait int64 }, len(p.workers))
	}
	g.moved = false
	ups := 0
	for i, w := range p.workers {
		busy, wait := w.sense.read(now)
		was := &g.workers[i]
		if busy != was.busy {
			g.moved = true
			x[pressure.Delay] = max(x[pressure.Delay], float64(w.sense.turns.Load())/1e9)
		}
		if ok {
			x[pressure.Busy] = max(x[pressure.Busy], min(float64(busy-was.busy)/took, 1))
			x[pressure.Delay] = max(x[pressure.Delay], float64(wait-was.wait)/(took/1e3)/1e6) // µs²/µs, in s
		}
		was.busy, was.wait = busy, wait
		ups += int(w.sense.ups.Load())
	}
	c := &p.cfg.Protection
	if stopped := c.Throttled; stopped != nil {
		x[pressure.Throttled] = stopped()
	}
	if c.CPUs != nil && now-g.asked > cpusEvery {
		g.cpus, g.asked = c.CPUs(), now
	}
	if ok && g.cpus > 0 {
		x[pressure.CPU] = float64(cpu-g.cpu) / took / g.cpus
	}
	g.took = now - g.at
	g.at, g.cpu = now, cpu
	if c.Memory != nil {
		x[pressure.Memory] = c.Memory()
	}
	if c.Files > 0 {
		x[pressure.Files] = float64(p.conns.Load()+int64(ups)) / c.Files
	}
	x[pressure.Calls] = float64(p.inFlight.Load()) / float64(p.cfg.Limits.TotalCalls)
	x[pressure.Bytes] = float64(p.bytes.Load()) / float64(max(p.cfg.Limits.TotalBytes, 1))
	return x, ok
}
