package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/proxy/route"
)

// Proxy is the data plane of one process. Its methods are safe for concurrent use unless they say otherwise.
type Proxy struct {
	cfg      Config
	codecs   [protocol.NumFramings]protocol.Codec
	table    atomic.Pointer[route.Table]
	rules    atomic.Pointer[govern.Rules]
	rulesMu  sync.Mutex // held while rules are put in force
	workers  []*worker
	sources  sources
	clock    func() int64 // the workers' time, ns since born
	cpu      func() int64 // the CPU time of this thread, ns
	born     time.Time
	breakers breakers
	rechecks rechecks

	inFlight    atomic.Int64 // calls
	active      atomic.Int64 // weights of workloads that have calls in flight
	lendUntil   atomic.Int64 // calls in flight up to which what others do not use is lent
	quarantines atomic.Uint64
	lookups     atomic.Int64 // services being looked up, over all workers
	bytes       atomic.Int64 // buffered
	conns       atomic.Int64 // callers'
	turn        atomic.Uint32
	draining    atomic.Bool

	mu        sync.Mutex
	listeners []*listener
	acceptors sync.WaitGroup
	acceptLog acceptStats
	life      context.Context // ends with Stop
	endLife   context.CancelFunc
	pending   sync.WaitGroup // connects and enrolments under way
	access    *accessLog
	sample    logSampler
	guard     guard
}

// New checks the configuration; nothing runs yet. The error names every key that is wrong.
func New(cfg Config, table *route.Table) (*Proxy, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &Proxy{cfg: cfg, born: time.Now()}
	p.clock = func() int64 { return int64(time.Since(p.born)) }
	p.cpu = threadTime
	p.life, p.endLife = context.WithCancel(context.Background())
	p.sources.byKey, p.sources.workers = map[string]*source{}, cfg.Workers
	for _, c := range cfg.Codecs {
		p.codecs[c.Framing()] = c
	}
	p.SetLend(1)
	p.table.Store(table)
	p.guard.init(p)
	p.access = newAccessLog(cfg.Access, cfg.Log)
	for i := range cfg.Workers {
		p.workers = append(p.workers, newWorker(p, i))
	}
	return p, nil
}

// Start runs the workers. Call it once, before Listen.
func (p *Proxy) Start() error {
	for i, w := range p.workers {
		if err := w.start(); err != nil {
			for _, started := range p.workers[:i] {
				started.stop()
			}
			return err
		}
	}
	p.access.start()
	p.rechecks.on.Store(true)
	p.pending.Add(1)
	go p.guard.run()
	return nil
}

// SetTable replaces the routing table; workers take it up with their next batch.
func (p *Proxy) SetTable(t *route.Table) {
	p.table.Store(t)
	for _, w := range p.workers {
		w.wake()
	}
}

// Table returns the routing table in force.
func (p *Proxy) Table() *route.Table { return p.table.Load() }

// Workers returns how many event loops there are.
func (p *Proxy) Workers() int { return len(p.workers) }

// each runs f on every worker's loop and waits for all; an error means that a loop did not come round before ctx ended.
func (p *Proxy) each(ctx context.Context, f func(*worker)) error {
	finished := make(chan int, len(p.workers))
	for _, w := range p.workers {
		w.do(func() {
			f(w)
			finished <- w.id
		})
	}
	for range p.workers {
		select {
		case <-finished:
		case <-ctx.Done():
			return fmt.Errorf("not every worker came round: %w", ctx.Err())
		case <-p.life.Done():
			return errStopped
		}
	}
	return nil
}

var errStopped = errors.New("the proxy was stopped")

// Tick returns when every worker has finished a poll round: the proof of life behind the address file's lease.
func (p *Proxy) Tick(ctx context.Context) error {
	var busy atomic.Bool
	err := p.each(ctx, func(w *worker) {
		if w.calls.active > 0 || w.stats.started != w.ticked {
			busy.Store(true)
		}
		w.ticked = w.stats.started
	})
	if err == nil && !busy.Load() {
		rest()
	}
	return err
}

// rest lets Go's scheduler sleep again after a tick of an idle proxy. A loop that goes back into epoll keeps its
// processor for 10 ms, for it may soon be back, and for as long a monitor thread looks at it up to 50,000 times a second:
// 1.9 ms of CPU for each tick, four fifths of what an idle proxy took. Stopping the world takes such processors back at
// once; nobody is there to notice.
func rest() {
	time.Sleep(restAfter)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
}

// restAfter is time enough for the loops to be back in epoll.
const restAfter = time.Millisecond

// Drain closes the data plane without losing a call: it keeps accepting for grace (callers are learning that we close),
// accepts what is queued in the kernel, closes the listeners, waits until callers have no call in flight, and closes
// their connections. It returns when none is left or ctx has ended; the error then says how many calls were cut.
func (p *Proxy) Drain(ctx context.Context, grace time.Duration) error {
	p.draining.Store(true)
	select {
	case <-time.After(grace):
	case <-ctx.Done():
	}
	p.closeListeners()
	check := time.NewTicker(20 * time.Millisecond)
	defer check.Stop()
	for {
		err := p.each(ctx, (*worker).closeIdle)
		if err == nil && p.conns.Load() == 0 { // accepted ones that no loop has opened yet are counted too
			return nil
		}
		select {
		case <-check.C:
		case <-p.life.Done():
			return fmt.Errorf("drain: %w", errStopped)
		case <-ctx.Done():
			return fmt.Errorf("drain: time is up with %d calls in flight on %d connections: %w", p.inFlight.Load(), p.conns.Load(), ctx.Err())
		}
	}
}

// closeIdle closes callers' connections that have nothing in flight and sent nothing that waits.
func (w *worker) closeIdle() {
	for d := range w.downs {
		if d.quiet() {
			w.doom(&d.session, reasonDrain)
		}
	}
	w.closeDoomed()
}

// firstCall is how long a connection that has said nothing yet is given when a drain finds it: its call may be on the way.
const firstCall = int64(100e6) // ns

// quiet reports whether nobody would miss the connection: no call in flight, nothing to write, and nothing to read
// either, here or in the kernel.
func (d *downstream) quiet() bool {
	if d.codec == nil && d.w.now < d.openedAt+firstCall {
		return false
	}
	return d.inFlight == 0 && d.conn != nil && d.waitingBytes() == 0 && silent(d.conn.Fd())
}

// Stop ends everything at once. Calls in flight are cut: Drain first. Call it once.
func (p *Proxy) Stop() {
	p.draining.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := p.each(ctx, func(w *worker) {
		w.stopping = true
		w.doomParked()
	}); err != nil { // no connect begins from now on
		p.cfg.Log.Error("stopping all the same", "error", err)
	}
	p.endLife()
	p.closeListeners()
	p.pending.Wait() // while the loops still run: after their end gnet would never answer
	for _, w := range p.workers {
		w.stop()
	}
	p.access.stop()
}

// leave is the end of a caller's connection.
func (p *Proxy) leave(s *source) {
	p.conns.Add(-1)
	p.sources.leave(s, p.cfg.Limits.MaxSources, p.clock(), p.cfg.Quarantine.Window)
}

// join finds the source of a new connection and counts it; an error refuses the connection.
func (p *Proxy) join(conn net.Conn) (*source, error) {
	id, err := p.cfg.Identify(conn)
	if err != nil {
		return nil, err
	}
	if p.quarantines.Load() > 0 && p.sources.quarantined(id.Source, p.clock()) {
		p.acceptLog.quarantined.Add(1)
		return nil, errQuarantined
	}
	if p.conns.Add(1) > int64(p.cfg.Limits.TotalConns) {
		p.conns.Add(-1)
		return nil, errTotalConns
	}
	if src := p.sources.join(id, p.cfg.Limits.SourceConns); src != nil {
		return src, nil
	}
	p.conns.Add(-1)
	return nil, fmt.Errorf("source %s has %d connections (limits.source_connections)", id.Source, p.cfg.Limits.SourceConns)
}

var errTotalConns = errors.New("the proxy has as many connections as it may (limits.total_connections)")
