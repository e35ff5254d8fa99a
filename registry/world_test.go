package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// world is where endpoints live and die, and what is asked of them.
type world struct {
	mu      sync.Mutex
	dead    map[string]bool
	err     error // what a probe of a dead one returns; default: refused
	mute    bool  // a dead one does not answer at all
	called  map[string]time.Time
	flow    map[string]bool // calls succeed here all the time
	probes  []time.Time
	probed  map[string]int
	at      int // probes under way
	most    int
	service string // of the last probe
}

func newWorld() *world {
	return &world{dead: map[string]bool{}, called: map[string]time.Time{}, flow: map[string]bool{}, probed: map[string]int{}}
}

var errRefused = errors.New("connection refused")

// in sets what the manager may ask.
func (w *world) in(cfg ManagerConfig) ManagerConfig {
	cfg.Probe = func(ctx context.Context, s *Service, e Endpoint) error { return w.probe(ctx, s.Name, e.Addr) }
	cfg.ProbeRemote = func(ctx context.Context, r Remote) error { return w.probe(ctx, "", r.Addr) }
	cfg.LastSuccess = func(_, addr string) time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.flow[addr] && !w.dead[addr] {
			w.called[addr] = time.Now()
		}
		return w.called[addr]
	}
	return cfg
}

func (w *world) probe(ctx context.Context, service, addr string) error {
	w.mu.Lock()
	w.probes = append(w.probes, time.Now())
	w.probed[addr]++
	w.service = service
	w.at++
	w.most = max(w.most, w.at)
	dead, err, mute := w.dead[addr], w.err, w.mute
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.at--
		w.mu.Unlock()
	}()
	switch {
	case !dead:
		return nil
	case mute:
		<-ctx.Done()
		return ctx.Err()
	case err != nil:
		return err
	}
	return fmt.Errorf("probe %s: %w", addr, errRefused)
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// kill ends endpoints.
func (w *world) kill(addrs ...string) {
	w.set(func() {
		for _, a := range addrs {
			w.dead[a] = true
		}
	})
}

// witness is a voice that knows when its registry last confirmed.
type witness struct {
	*voice
	mu sync.Mutex
	at time.Time
}

func (w *witness) Checked(string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *witness) check(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = at
}

// owned gives every endpoint of an update an owner: the last word of "addr@owner".
func owned(words string) Update {
	u := is(words)
	for _, s := range u.Services {
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			e.Addr, e.Owner, _ = strings.Cut(e.Addr, "@")
		}
	}
	return u
}

// decided compares what was decided so far, without what is not named and was not decided.
func (s *stage) decided(want map[string]uint64) {
	s.t.Helper()
	for word, n := range s.m.Stats().Decisions {
		if n != want[word] {
			s.t.Errorf("after %v %q was decided %d times; want %d\nlog: %s", time.Since(s.began), word, n, want[word], s.log)
		}
		if logged := strings.Contains(s.log.String(), "decision="+word+" "); logged != (n > 0) {
			s.t.Errorf("%q was decided %d times; the log is %s", word, n, s.log)
		}
	}
}

// asked returns how often an endpoint was probed.
func (w *world) asked(addr string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.probed[addr]
}

// asks returns how many probes there were, and of which service the last one was.
func (w *world) asks() (n int, service string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.probes), w.service
}

// expectPace checks the pace of all probes so far.
func (w *world) expectPace(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.SortFunc(w.probes, time.Time.Compare)
	for i := 50; i < len(w.probes); i++ {
		if d := w.probes[i].Sub(w.probes[i-50]); d < time.Second {
			t.Fatalf("51 probes within %v", d)
		}
	}
	if w.most > maxProbing {
		t.Errorf("%d probes at once; want %d at most", w.most, maxProbing)
	}
}
