package cluster

import (
	"math/rand/v2"
	"testing"

	"github.com/bellhop-mesh/bellhop/registry"
)

// TestChoices: whatever was tried, backs off, is held, new, suspect or closed by hand, in whatever tiers: nothing is chosen
// that was tried or is closed by hand, nothing unusable where there is something usable, and nothing only where nothing is left.
func TestChoices(t *testing.T) {
	const now = 100 * second
	for seed := range uint64(4000) {
		r := rand.New(rand.NewPCG(seed, 7))
		s := zones(r.IntN(3), r.IntN(5), r.IntN(40))
		s.Balancer = []string{"least-active", "round-robin", "random", "p2c"}[r.IntN(4)]
		s.Panic = []float64{registry.Off, 0.3, 1}[r.IntN(3)]
		s.ZoneSpill = []float64{registry.Off, 0, 1, 3}[r.IntN(4)]
		for i := range s.Endpoints {
			s.Endpoints[i].Weight = []int{0, 1, 1000}[r.IntN(3)]
		}
		c := compile(t, s, here)
		var tried []*Endpoint
		usable, left := 0, 0
		for _, e := range c.all {
			ok, shut := spoil(r, e, now)
			if r.IntN(6) == 0 && len(tried) < 8 {
				tried = append(tried, e)
				continue
			}
			if ok {
				usable++
			}
			if !shut {
				left++
			}
		}
		for range 20 {
			e := c.Pick(0, now, r, tried)
			u := c.Usable(0, now, r, tried)
			switch {
			case (e == nil) != (left == 0):
				t.Fatalf("seed %d: got %v, and %d are left", seed, e, left)
			case e == nil:
			case isTried(e, tried) || e.shut(now):
				t.Fatalf("seed %d: %v was tried, or is closed by hand", seed, e)
			case usable > 0 && !c.sick[0].panic && e.States[0].DownUntil > now:
				t.Fatalf("seed %d: %v backs off, and %d are usable", seed, e, usable)
			}
			if u == nil && usable > 0 || u != nil && (isTried(u, tried) || u.shut(now) || u.States[0].DownUntil > now) {
				t.Fatalf("seed %d: %v as a usable one, of %d", seed, u, usable)
			}
			if h := healthOf(held(u), now); h.Held && !h.HalfOpen && !c.sick[0].panic {
				t.Fatalf("seed %d: %v is held, and no panic", seed, u)
			}
		}
	}
}

func held(e *Endpoint) *hold {
	if e == nil {
		return nil
	}
	return e.held.Load()
}

// spoil brings an endpoint into some state and tells whether it is usable for sure, and whether it is closed by hand.
func spoil(r *rand.Rand, e *Endpoint, now int64) (usable, shut bool) {
	e.States[0].Active = r.IntN(4)
	if r.IntN(3) > 0 {
		e.States[0].Observe(now-int64(r.IntN(20))*second, 1+r.Int64N(50e6))
	}
	usable = true
	switch r.IntN(8) {
	case 0:
		e.States[0].DownUntil = now + r.Int64N(3)*second
		usable = e.States[0].DownUntil <= now
	case 1:
		e.hold(now-10*second, Why{Reason: ReasonErrors}, span{r.Int64N(20*second) + 1, 300 * second}, 1+r.IntN(3))
		usable = false
	case 2:
		until := now + (r.Int64N(3)-1)*second
		e.Set(true, now-5*second, until)
		usable, shut = until <= now, until > now
	case 3:
		e.enterNew()
	case 4:
		e.suspects(now - r.Int64N(3)*second)
	case 5:
		e.hold(now-30*second, Why{Reason: ReasonSlow}, span{second, second}, 1)
		e.release(e.held.Load(), now-r.Int64N(20*second))
	}
	return usable, shut
}
