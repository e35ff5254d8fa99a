package proxy

import (
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy/pressure"
	"github.com/bellhop-mesh/bellhop/remote"
)

// guarded is a proxy whose guard runs on the fake clock.
type guarded struct {
	*pressed
	asked []map[string]time.Duration
}

func newGuarded(t *testing.T) *guarded {
	g := &guarded{}
	g.pressed = newPressed(t, 100, func(c *Config) {
		p := &c.Protection
		p.Pressure, _ = pressure.Profile(pressure.Medium) // it is there
		p.Moves = pressure.MoveConfig{TTL: 10 * time.Second, Settle: 2 * time.Second, Most: 10}
		p.Move = func(ttl map[string]time.Duration) { g.asked = append(g.asked, ttl) }
	})
	return g
}

// run lets time go by with rounds that fill this share of it, and work of sources.
func (g *guarded) run(d time.Duration, share float64, work map[string]uint64) {
	for end := g.now + int64(d); g.now < end; {
		g.w.now = g.now
		g.w.openRound()
		g.now += int64(senseTime)
		g.w.now = g.now
		g.w.closeRound(int64(share * float64(senseTime)))
		for s, n := range work {
			if !g.p.sources.byKey[s].moved.Load() {
				g.p.sources.byKey[s].work.Add(n)
			}
		}
		g.p.guard.step()
	}
}

// TestGuard: a worker that is always busy brings the measures that relieve it, in order; the heaviest source is asked to move;
// when it is over all comes back by itself, and the guard goes to sleep.
func TestGuard(t *testing.T) {
	g := newGuarded(t)
	g.open("heavy")
	g.open("light")
	work := map[string]uint64{"heavy": 1000, "light": 100}
	g.run(3*time.Second, 0.5, work)
	if s := g.p.Pressure(); s.Number != 0 || len(g.asked) != 0 || s.Lend != 1 {
		t.Fatalf("half busy: %+v", s)
	}
	g.run(1500*time.Millisecond, 0.99, work)
	s := g.p.Pressure()
	if s.Level != "ask_to_move" || s.Lend != 0 || s.Entered["ask_to_move"] != 1 || s.Next == "" || s.Reason == "" {
		t.Fatalf("always busy: %+v", s)
	}
	if len(g.asked) != 1 || len(g.asked[0]) != 1 || g.asked[0]["heavy"] < 9*time.Second {
		t.Fatalf("asked to move: %v", g.asked)
	}
	src := g.p.sources.byKey["heavy"]
	if !src.moved.Load() || g.p.sources.byKey["light"].moved.Load() {
		t.Error("the heavy source is not marked, or the light one is")
	}
	g.run(3*time.Minute, 0.1, map[string]uint64{"light": 100})
	if s = g.p.Pressure(); s.Number != 0 || len(s.Moved) != 0 || src.moved.Load() || src.excess.Load() != 0 || g.p.guard.active.Load() {
		t.Errorf("afterwards: %+v", s)
	}
	if last := g.asked[len(g.asked)-1]; len(last) != 0 {
		t.Errorf("the last list asks %v", last)
	}
	for range 2 * quietMost {
		g.now += int64(senseTime)
		if !g.p.guard.step() {
			break
		}
	}
	if !g.p.guard.asleep.Load() {
		t.Error("the guard does not sleep when nothing happens")
	}
	g.w.openRound()
	if g.p.guard.asleep.Load() {
		t.Error("a round with calls does not wake it")
	}
}

// TestAsksNoMore: once the load is gone nobody else is asked, though the level falls slowly.
func TestAsksNoMore(t *testing.T) {
	g := newGuarded(t)
	g.open("heavy")
	g.open("light")
	work := map[string]uint64{"heavy": 1000, "light": 100}
	g.run(2*time.Second, 1, work)
	g.run(10*time.Second, 0.2, work)
	for _, ttl := range g.asked {
		if _, ok := ttl["light"]; ok {
			t.Fatalf("asked to move: %v", g.asked)
		}
	}
	if len(g.asked) == 0 {
		t.Error("nobody was asked")
	}
}

// TestNobodyToMoveTo: without a remote proxy nobody is asked to use it.
func TestNobodyToMoveTo(t *testing.T) {
	g := newGuarded(t)
	snap := echoSnapshot()
	snap.Remotes = nil
	g.setTable(snap)
	g.open("heavy")
	g.run(5*time.Second, 0.99, map[string]uint64{"heavy": 1000})
	if len(g.asked) != 0 {
		t.Errorf("asked to move: %v", g.asked)
	}
}

// TestHungRound: a round that does not end counts while it lasts.
func TestHungRound(t *testing.T) {
	g := newGuarded(t)
	g.run(time.Second, 0.1, nil)
	g.w.now = g.now
	g.w.openRound()
	for range 10 {
		g.now += int64(senseTime)
		g.p.guard.step()
	}
	if s := g.p.Pressure(); s.Reason != "queue_delay" && s.Reason != "busy" || s.Number < int(pressure.AskToMove) {
		t.Errorf("%+v", s)
	}
}

// TestTierCapacity: a remote proxy whose calls wait too long takes fewer, tells its hosts so, and recovers.
func TestTierCapacity(t *testing.T) {
	r := newTier(t, remote.Grant{Calls: 100})
	r.p.cfg.Protection.Pressure, _ = pressure.Profile(pressure.Medium)
	r.p.guard.control = pressure.NewController(r.p.cfg.Protection.Pressure)
	_, say := r.handoff("h1")
	for i := range int32(90) {
		say(i + 10)
	}
	g := &guarded{pressed: &pressed{rig: r.rig}}
	g.run(5*time.Second, 1, nil)
	if n := r.p.guard.capacity.Load(); n >= 90 || n < leastCapacity || r.p.guard.ratio.Load() == 0 || !r.p.guard.active.Load() {
		t.Errorf("takes %d calls, grants %d of %d", n, r.p.guard.ratio.Load(), ratioOne)
	}
	r.echo(r.e1)
	g.run(2*time.Minute, 0.01, nil)
	if n := r.p.guard.capacity.Load(); n != int64(r.p.cfg.Limits.TotalCalls) || r.p.guard.ratio.Load() != 0 || r.p.guard.active.Load() {
		t.Errorf("afterwards takes %d calls, grants %d", n, r.p.guard.ratio.Load())
	}
}

// TestWaits: what a greedy source waits for its own turn is no pressure; what everybody waits is.
func TestWaits(t *testing.T) {
	g := newGuarded(t)
	wait := func(greedy, others time.Duration) float64 {
		for range 30 {
			for i := range 20 {
				d := greedy
				if i%2 == 0 {
					d = others
				}
				g.w.stats.delays.add(int64(d / time.Microsecond))
			}
			g.run(senseTime, 0.1, nil)
		}
		return g.p.Pressure().Measured["queue_delay"]
	}
	if s := wait(200*time.Millisecond, 100*time.Microsecond); s > 0.001 {
		t.Errorf("a greedy source's wait counts as %v s", s)
	}
	if s := wait(200*time.Millisecond, 100*time.Millisecond); s < 0.08 || s > 0.13 {
		t.Errorf("everybody's wait counts as %v s", s)
	}
	if s := g.p.Pressure(); s.Level != "refuse" || s.Reason != "queue_delay" {
		t.Errorf("%+v", s)
	}
	g.run(5*time.Second, 0.1, nil) // nobody waits any more
	if s := g.p.Pressure(); s.Measured["queue_delay"] > 0.001 {
		t.Errorf("it does not end: %+v", s)
	}
}
