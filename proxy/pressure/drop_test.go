package pressure

import (
	"math/rand/v2"
	"testing"
	"time"
)

// served plays a proxy that can carry one unit of work in a second, and for which a refusal costs a part of a call. It returns
// what it serves and whether it is stopped by its quota.
func served(offered, drop, refusal float64) (served, cpu float64, stopped bool) {
	refused := offered * drop
	want := offered - refused
	if used := want + refused*refusal; used <= 1 {
		return want, used, used > 0.97
	}
	return max(0, 1-refused*refusal), 1, true
}

// TestDrop: where nobody can be asked any more, soon so much is refused that the rest is served in time, and little more: CPU
// is used up to a tenth and a bit. What is served does not collapse, whatever is offered. When it is over nothing is refused within seconds.
func TestDrop(t *testing.T) {
	cfg := testConfig()
	cfg.Drop = 0.95
	for _, offered := range []float64{1.2, 1.5, 2, 3, 4} {
		const refusal = 0.15
		c := NewController(cfg)
		now, late, good, n := time.Duration(0), 0, 0.0, 0.0
		for range 600 {
			now += every
			got, cpu, stopped := served(offered, c.State().Drop, refusal)
			var x Sample
			if x[CPU] = cpu; stopped {
				x[Delay], x[Throttled] = 0.025, 1
			}
			s := c.Observe(now, x, true)
			if s.Drop > 0 && s.Level != Refuse || s.Drop > cfg.Drop {
				t.Fatalf("%s, refuses %.2f", s.Level, s.Drop)
			}
			if now < 5*time.Second {
				continue
			}
			n++
			good += got
			if stopped {
				late++
			}
		}
		// With a refusal of a part r, of f offered the most that can be served is (1-f·r)/(1-r).
		most := (1 - offered*refusal) / (1 - refusal)
		if good/n < most-0.13 || float64(late)/n > 0.05 {
			t.Errorf("%.1f×: serves %.2f of %.2f, late in %.0f %% of the time", offered, good/n, most, 100*float64(late)/n)
		}
		over := now
		for c.State().Level != None && now < over+time.Minute {
			now += every
			s := c.Observe(now, Sample{CPU: 0.1}, true)
			if s.Drop > 0 && now > over+3*time.Second {
				t.Fatalf("%.1f×: refuses %.2f %v after it was over", offered, s.Drop, now-over)
			}
		}
		if now-over > 15*time.Second {
			t.Errorf("%.1f×: back at none after %v", offered, now-over)
		}
	}
}

// TestDropOnlyWhenStuck: while somebody can be asked to move nothing is refused outright, whatever the signals do.
func TestDropOnlyWhenStuck(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	cfg := testConfig()
	cfg.Drop = 0.5
	c := NewController(cfg)
	var x Sample
	for i := range 5000 {
		if r.IntN(10) == 0 {
			for j := range x {
				x[j] = 1.2 * r.Float64()
			}
			x[Delay] = 0.06 * r.Float64()
		}
		if s := c.Observe(time.Duration(i)*every, x, false); s.Drop != 0 {
			t.Fatalf("refuses %.2f", s.Drop)
		}
	}
	c = NewController(cfg)
	for i := range 100 { // all used, and nobody waits
		if s := c.Observe(time.Duration(i)*every, Sample{CPU: 1, Busy: 0.95}, true); s.Drop != 0 {
			t.Fatalf("refuses %.2f though nothing waits", s.Drop)
		}
	}
}

// TestAlwaysBusy: a worker without a pause has callers wait where it can't see them: a little of a wait is enough.
func TestAlwaysBusy(t *testing.T) {
	cfg := testConfig()
	for _, tt := range []struct {
		busy, delay float64
		want        Level
	}{{1, 0.003, AskToMove}, {1, 0.001, HandOver}, {0.9, 0.003, QueueHeaviest}} {
		c := NewController(cfg)
		for i := range 50 {
			c.Observe(time.Duration(i)*every, Sample{Busy: tt.busy, Delay: tt.delay}, false)
		}
		if l := c.State().Level; l != tt.want {
			t.Errorf("busy %.2f, waits %.3f s: %s, want %s", tt.busy, tt.delay, l, tt.want)
		}
	}
}
