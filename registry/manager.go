package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// ManagerConfig says how a Manager behaves. The zero value is usable: every zero field means its default.
type ManagerConfig struct {
	CoalesceWindow  time.Duration // the shortest time between two snapshots; default 100ms
	MaxRemovalShare float64       // removing more than this share at once is a mass removal; default 0.3
	MinRemoval      int           // … if it is at least so many endpoints; default 2. The last one of a service is held always
	HoldRemoved     time.Duration // how long removed endpoints are held at most, if the source confirms it then; default 10m, negative: nothing is held
	MaxEndpoints    int           // an update with more endpoints is rejected; default 100,000
	MaxServices     int           // an update with more services is rejected; default 100,000

	LastKnownGood    string        // path of the last-known-good file, in a directory only we can write; "": none
	MaxLastKnownGood int64         // its largest size in bytes; default 64 MiB
	SaveEvery        time.Duration // the shortest time between two writes of it; default 1s

	// Probe asks an endpoint that is held whether it lives. It is called on goroutines of its own, 100 at once and 50 a
	// second at most, and must return when ctx ends, after 2 s. An error means that it does not live, unless it wraps one
	// that is this host's own fault (too many open files, no answer of the name server). nil: there are no probes.
	Probe func(ctx context.Context, s *Service, e Endpoint) error
	// ProbeRemote is the same for remote proxies.
	ProbeRemote func(ctx context.Context, r Remote) error
	// LastSuccess returns when a call last succeeded at an endpoint; for the service "", at a remote proxy. Zero: never. It
	// is called on Run's goroutine, for what is held only, and must be quick. nil: it is not known.
	LastSuccess func(service, addr string) time.Time

	Log *slog.Logger // default slog.Default()
}

const flushLimit = 2 * time.Second // how long a slow disk may hold up the end of Run

// Manager merges what the sources say into snapshots. One goroutine, that of Run, owns the parts; the others only leave
// an update in a part's mailbox and ring the bell.
//
// All of that may be long work, for tens of thousands of endpoints, and the scheduler lets a goroutine have a CPU for 10 ms:
// an event loop that needs one would wait so long. So the work gives way (runtime.Gosched) at least once a service.
//
//	Source.Run ─publish─► mailbox (the latest update only) ─bell─► Run: accept, hold, merge ─► Snapshot, OnChange
//	                                                    probes ─results─► ▲                └─► saver ─► last-known-good
type Manager struct {
	cfg      ManagerConfig
	parts    []*part // in source order; owned by Run
	watch    watch   // what is held; owned by Run
	journal  journal
	view     atomic.Pointer[view]
	onChange func(*Snapshot)
	snapshot atomic.Pointer[Snapshot]
	stats    counters
	bell     chan struct{} // capacity 1: a mailbox is full

	mu    sync.Mutex // guards mail
	mail  map[*part]letter
	saver saver
}

// letter is an update on its way from a source to Run.
type letter struct {
	update Update
	read   time.Time
}

// NewManager returns a manager of the sources. Where two sources set the same thing, the one named first wins.
func NewManager(cfg ManagerConfig, sources ...Source) *Manager {
	cfg = cfg.withDefaults()
	m := &Manager{cfg: cfg, bell: make(chan struct{}, 1), mail: make(map[*part]letter)}
	m.journal.log = cfg.Log
	m.watch = watch{cfg: &m.cfg, stats: &m.stats, journal: &m.journal, byAddr: make(map[string][]*hold)}
	m.watch.results = make(chan result, maxProbing)
	m.view.Store(&view{})
	m.saver = saver{
		path: cfg.LastKnownGood, limit: cfg.MaxLastKnownGood, every: cfg.SaveEvery, log: cfg.Log,
		stats: &m.stats, bell: make(chan struct{}, 1), done: make(chan struct{}),
	}
	names := make(map[string]int)
	for _, s := range sources {
		name := s.Name()
		names[name]++
		if n := names[name]; n > 1 { // the last-known-good file tells parts apart by name
			name += "#" + strconv.Itoa(n)
		}
		m.parts = append(m.parts, newPart(name, s))
	}
	m.snapshot.Store(&Snapshot{Services: map[string]*Service{}})
	return m
}

func (c ManagerConfig) withDefaults() ManagerConfig {
	orDuration := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	orDuration(&c.CoalesceWindow, 100*time.Millisecond)
	orDuration(&c.HoldRemoved, 10*time.Minute)
	orDuration(&c.SaveEvery, time.Second)
	if c.MaxRemovalShare == 0 {
		c.MaxRemovalShare = 0.3
	}
	if c.MinRemoval == 0 {
		c.MinRemoval = 2
	}
	if c.MaxEndpoints == 0 {
		c.MaxEndpoints = 100_000
	}
	if c.MaxServices == 0 {
		c.MaxServices = 100_000
	}
	if c.MaxLastKnownGood == 0 {
		c.MaxLastKnownGood = 64 << 20
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// Snapshot returns what is known now; it is never nil, and empty before the first update. Safe for concurrent use.
func (m *Manager) Snapshot() *Snapshot { return m.snapshot.Load() }

// OnChange names the function that gets every new snapshot, in order and one at a time, on the goroutine of Run, the
// last-known-good one included. It should return soon: the next snapshot waits for it. Before Run only.
func (m *Manager) OnChange(f func(*Snapshot)) { m.onChange = f }

// LoadLastKnownGood fills the snapshot from disk, so that calls can be served before a live source answers. A missing
// file is not an error. A file that can't be used is left alone, named in the error, and means an empty start; the
// manager runs on all the same. Before Run only.
func (m *Manager) LoadLastKnownGood() error {
	if m.cfg.LastKnownGood == "" {
		return nil
	}
	saved, err := loadSaved(m.cfg.LastKnownGood, m.cfg.MaxLastKnownGood)
	if err != nil || saved == nil {
		return err
	}
	var errs []error
	for _, p := range m.parts {
		for _, sp := range saved.Sources {
			if sp.Name != p.name {
				continue
			}
			if err := m.load(p, sp, time.Now()); err != nil {
				errs = append(errs, fmt.Errorf("last-known-good file %s: the part of source %q is not used: %w", m.cfg.LastKnownGood, p.name, err))
			}
		}
	}
	m.rebuild(true)
	return errors.Join(errs...)
}

// Run runs the sources and blocks until ctx ends and all of them have returned; it then returns nil. A source that fails
// is run again, later and later; what it said last stands meanwhile. Run may be called once.
func (m *Manager) Run(ctx context.Context) error {
	var sources sync.WaitGroup
	if snap := m.snapshot.Load(); snap.Version > 0 && m.onChange != nil {
		m.onChange(snap)
	}
	for _, p := range m.parts {
		sources.Go(func() { m.runSource(ctx, p) })
	}
	go m.saver.run()
	m.loop(ctx)
	sources.Wait()
	m.watch.running.Wait()
	m.saver.finish(flushLimit)
	return nil
}

// loop takes what came in, then rests for one window: the first update goes out at once, a burst goes out as one. What is
// held is looked after meanwhile.
func (m *Manager) loop(ctx context.Context) {
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	var ripe time.Time // no snapshot before
	mailed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.bell:
			mailed = true
		case r := <-m.watch.results:
			m.watch.judge(r, time.Now())
		case <-alarm.C:
		}
		now := time.Now()
		next := m.watch.work(ctx, now)
		if (mailed || m.watch.changed) && !now.Before(ripe) {
			mailed = false
			m.step(now)
			now = time.Now()
			ripe = now.Add(m.cfg.CoalesceWindow)
			next = m.watch.work(ctx, now) // what is held anew
		}
		if (mailed || m.watch.changed) && (next.IsZero() || ripe.Before(next)) {
			next = ripe
		}
		if alarm.Stop(); !next.IsZero() {
			alarm.Reset(next.Sub(now))
		}
	}
}

// step applies the waiting letters, and hands out what is known then.
func (m *Manager) step(now time.Time) {
	m.mu.Lock()
	mail := m.mail
	m.mail = make(map[*part]letter)
	m.mu.Unlock()
	first, live := false, 0
	for _, p := range m.parts {
		if l, ok := mail[p]; ok {
			wasLive := p.live
			if m.take(p, l, now) && !wasLive {
				first = true // even when it only confirms the last-known-good: now it is known to be so
			}
		}
		if p.live {
			live++
		}
	}
	if m.rebuild(first) && m.onChange != nil {
		m.onChange(m.snapshot.Load())
	}
	m.stats.sources.Store(int64(live))
}

// take lets one update replace a part, unless it is broken; it says whether it did.
func (m *Manager) take(p *part, l letter, now time.Time) bool {
	u, err := accept(l.update, &p.said, m.cfg)
	if err != nil {
		m.stats.rejected.Add(1)
		m.cfg.Log.Error("registry update rejected; the old one stands", "source", p.name, "problem", err)
		return false
	}
	m.replace(p, u, l.read, now)
	m.stats.updates.Add(1)
	m.stats.lastGood.Store(l.read.Unix())
	return true
}

// rebuild merges the parts and stores the result; it says whether there is a new snapshot to hand out.
func (m *Manager) rebuild(force bool) bool {
	old := m.snapshot.Load()
	states := make([]Update, len(m.parts))
	next := &Snapshot{Version: old.Version, Services: old.Services, Remotes: old.Remotes}
	stale := false
	for i, p := range m.parts {
		stale = stale || p.stale
		states[i] = p.state()
		if p.read.After(next.Taken) {
			next.Taken = p.read
		}
	}
	runtime.Gosched() // see Manager
	if stale {
		next.Services, next.Remotes = merge(states, old)
	}
	changed := force || stale && !same(old.Services, next.Services, old.Remotes, next.Remotes)
	if changed {
		next.Version++
	}
	runtime.Gosched()
	m.show()
	runtime.Gosched()
	m.snapshot.Store(next)
	m.stats.describe(next, m.watch.count)
	if (changed || m.watch.changed) && !next.Taken.IsZero() { // what was only loaded is on disk already
		m.saver.offer(m.parts, states)
	}
	m.watch.changed = false
	m.journal.tell()
	return changed
}

// publish is what a source calls. It never blocks; a letter that was not yet taken is replaced, since each one is whole.
func (m *Manager) publish(p *part, u Update) {
	m.mu.Lock()
	m.mail[p] = letter{update: u, read: time.Now()}
	m.mu.Unlock()
	select {
	case m.bell <- struct{}{}:
	default:
	}
}

func (m *Manager) runSource(ctx context.Context, p *part) {
	run := func() error { return p.source.Run(ctx, func(u Update) { m.publish(p, u) }) }
	RunAgain(ctx, run, func(err error, in time.Duration) {
		m.stats.sourceErrors.Add(1)
		m.cfg.Log.Error("registry source failed; it is run again", "source", p.name, "in", in, "problem", err)
	})
	if ctx.Err() == nil {
		m.cfg.Log.Info("registry source ended; what it said stands", "source", p.name)
	}
}
