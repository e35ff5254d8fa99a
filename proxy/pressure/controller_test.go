package pressure

import (
	"math/rand/v2"
	"testing"
	"time"
)

func testConfig() Config {
	c := Config{Rise: 200 * time.Millisecond, Fall: time.Second, Calm: 2 * time.Second}
	c.Signals[CPU] = Range{0.8, 1}
	c.Signals[Busy] = Range{0.85, 1}
	c.Signals[Delay], c.Signals[Throttled] = Range{0.010, 0.040}, Range{0.4, 0.8}
	for _, s := range []Signal{Memory, Files, Calls, Bytes} {
		c.Signals[s] = Range{0.7, 0.95}
	}
	return c
}

const every = 100 * time.Millisecond

// value is what a signal must measure for a scaled pressure.
func value(c *Config, s Signal, pressure float64) float64 {
	r := c.Signals[s]
	return r.Low + pressure*(r.High-r.Low)
}

// TestLadder: a steady signal brings exactly the level of its ladder, and what is not measured brings none.
func TestLadder(t *testing.T) {
	cfg := testConfig()
	for _, tt := range []struct {
		sig      Signal
		pressure float64
		want     Level
	}{
		{CPU, 0, None},
		{CPU, 0.15, LendLess},
		{CPU, 0.3, QueueHeaviest},
		{CPU, 0.5, HandOver},
		{CPU, 2, HandOver}, // that it is all used says nothing of calls that wait
		{Busy, 2, HandOver},
		{Throttled, 0.3, QueueHeaviest},
		{Throttled, 0.5, AskToMove},
		{Throttled, 2, AskToMove},
		{Delay, 0.5, AskToMove},
		{Delay, 1.5, AskToMove},
		{Delay, 2, Refuse},
		{Memory, 0.15, LendLess},
		{Memory, 0.4, QueueHeaviest},
		{Memory, 0.6, HandOver},
		{Memory, 0.8, AskToMove},
		{Memory, 1.1, Refuse},
		{Calls, 0.6, HandOver},
		{Bytes, 1.1, Refuse},
		{Files, 0.8, AskToMove},
	} {
		c := NewController(cfg)
		var x Sample
		x[tt.sig] = value(&cfg, tt.sig, tt.pressure)
		for i := range 100 {
			c.Observe(time.Duration(i)*every, x, false)
		}
		s := c.State()
		if s.Level != tt.want || tt.want != None && s.Reason != tt.sig {
			t.Errorf("%s at %.2f: %s for %s, want %s", tt.sig, tt.pressure, s.Level, s.Reason, tt.want)
		}
		if handing := s.Level == Refuse || s.Level >= HandOver && tt.sig >= Memory; (s.Spill > 0) != handing || s.Spill > s.Shed {
			t.Errorf("%s at %.2f: hands over %.2f of %.2f at %s", tt.sig, tt.pressure, s.Spill, s.Shed, s.Level)
		}
		if (s.Shed > 0) != (s.Level >= HandOver) || s.Shed > 0.75 || s.Lend < 0 || s.Lend > 1 {
			t.Errorf("%s at %.2f: sheds %.2f, lends %.2f at %s", tt.sig, tt.pressure, s.Shed, s.Lend, s.Level)
		}
	}
}

// TestZeroConfig: a controller that was told to look at nothing never does anything.
func TestZeroConfig(t *testing.T) {
	c := NewController(Config{})
	for i := range 100 {
		if s := c.Observe(time.Duration(i)*every, Sample{1, 1, 1, 1, 1, 1, 1, 1}, false); s.Level != None || s.Lend != 1 || s.Shed != 0 {
			t.Fatalf("%+v", s)
		}
	}
}

// TestMonotone: of two proxies the one that is never less pressed is never at a lower level, whatever the signals do.
func TestMonotone(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		low, high := NewController(testConfig()), NewController(testConfig())
		now := time.Duration(0)
		var x, y Sample
		for range 500 {
			now += time.Duration(r.IntN(300)+1) * time.Millisecond
			for i := range x {
				if r.IntN(20) == 0 { // hold a value for a while
					x[i] = r.Float64() * 1.2
					if Signal(i) == Delay {
						x[i] = r.Float64() * 0.06
					}
				}
				y[i] = x[i] * (1 + 0.3*r.Float64())
			}
			a, b := low.Observe(now, x, false), high.Observe(now, y, false)
			if a.Level > b.Level || a.Shed > b.Shed+1e-9 || a.Spill > b.Spill+1e-9 {
				t.Fatalf("seed %d: %s (sheds %.3f) at the lower signals, %s (%.3f) at the higher", seed, a.Level, a.Shed, b.Level, b.Shed)
			}
		}
	}
}

// TestNoFlapping: a signal with a fifth of its range of noise about any threshold moves the level at most a few times.
func TestNoFlapping(t *testing.T) {
	cfg := testConfig()
	for _, sig := range []Signal{CPU, Busy, Delay, Throttled, Memory, Files, Calls, Bytes} {
		for _, at := range sig.ladder()[LendLess:] {
			if at == never {
				continue
			}
			r := rand.New(rand.NewPCG(uint64(at*1000), uint64(sig)))
			c := NewController(cfg)
			changes, last := 0, None
			for i := range 3000 { // 5 minutes
				var x Sample
				x[sig] = value(&cfg, sig, at+0.2*(r.Float64()-0.5))
				s := c.Observe(time.Duration(i)*every, x, false)
				if i > 50 && s.Level != last {
					changes++
				}
				last = s.Level
			}
			if changes > 3 {
				t.Errorf("%s about %.2f: %d changes in 5 minutes", sig, at, changes)
			}
		}
	}
}

// TestReturns: from any level it comes back to None by itself, one level at a time, each after a calm.
func TestReturns(t *testing.T) {
	cfg := testConfig()
	c := NewController(cfg)
	var x Sample
	x[Memory] = 0.96
	now := time.Duration(0)
	for range 50 {
		now += every
		c.Observe(now, x, false)
	}
	if l := c.State().Level; l != Refuse {
		t.Fatalf("%s after 5 s of full memory", l)
	}
	at, last := now, Refuse
	for range 600 {
		now += every
		s := c.Observe(now, Sample{}, false)
		if s.Level == last {
			continue
		}
		if s.Level != last-1 {
			t.Errorf("from %s to %s at once", last, s.Level)
		}
		if now-at < cfg.Calm {
			t.Errorf("%s after %v", s.Level, now-at)
		}
		at, last = now, s.Level
	}
	if last != None || c.State().Lend != 1 {
		t.Errorf("stays at %s, lends %.2f", last, c.State().Lend)
	}
}

// TestFast: a proxy that becomes saturated at once is at the measures that relieve it within half a second.
func TestFast(t *testing.T) {
	cfg := testConfig()
	c := NewController(cfg)
	var x Sample
	x[CPU], x[Delay] = 1, 0.030
	for i := range 5 {
		if s := c.Observe(time.Duration(i+1)*every, x, false); s.Level == AskToMove {
			return
		}
	}
	t.Errorf("%s after 500 ms", c.State().Level)
}
