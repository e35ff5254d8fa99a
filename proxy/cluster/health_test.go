package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

const second = int64(1e9)

// again compiles a service after another, as route.Compile does.
func again(t *testing.T, old *Cluster, s *registry.Service) *Cluster {
	t.Helper()
	have := map[Key]*Endpoint{}
	for _, e := range old.Endpoints() {
		have[e.Key()] = e
	}
	c, err := New(s, 1, Locality{}, Defaults{MaxConns: 4, MaxPending: 4, Depth: 8}, func(e *Endpoint) *Endpoint { return have[e.Key()] })
	if err != nil {
		t.Fatal(err)
	}
	c.CarryViews(old)
	return c
}

// TestSlowStart: an endpoint that is new beside others begins with a tenth of its weight and grows evenly, with every
// balancer; those of a service that is new itself do not.
func TestSlowStart(t *testing.T) {
	for _, b := range []string{"round-robin", "random", "least-active", "p2c"} {
		for _, weights := range [][]int{{100, 100, 100}, {100, 200, 100}} {
			s := service(b, weights...)
			s.SlowStart = 30 * time.Second
			first := compile(t, s, Locality{})
			if n := share(first, 400, func(e *Endpoint) { e.States[0].Active++ })["e2:1"]; n < 60 {
				t.Errorf("%s: all are new, and e2 was chosen %d times of 400", b, n)
			}
			later := service(b, append(weights, 100)...)
			later.SlowStart = s.SlowStart
			for _, e := range first.Endpoints() {
				e.States[0].Active = 0
			}
			c, r := again(t, first, later), rnd()
			fresh := c.Find("e3:1")
			c.Pick(0, 1, r, nil) // somebody looks
			for c.warmed(fresh, 1) != leastWarm {
				c.Pick(0, 1, r, nil)
			}
			for _, at := range []struct {
				now  int64
				want float64
			}{{1, 0.1}, {15 * second, 0.5}, {31 * second, 1}} {
				n, total := 0, 20_000
				for range total {
					e := c.Pick(0, at.now, r, nil)
					if e.States[0].Active++; e == fresh {
						n++
					}
				}
				for _, e := range c.Endpoints() {
					e.States[0].Active = 0
				}
				sum := 100.0
				for _, w := range weights {
					sum += float64(w)
				}
				want := at.want * 100 / (sum - 100 + at.want*100)
				if b == "p2c" && at.want < 1 { // it has no calls in flight to be compared with: it is chosen when it is drawn
					want *= 2
				}
				if got := float64(n) / float64(total); got < want*0.8 || got > want*1.25 && b != "p2c" {
					t.Errorf("%s %v: after %d s it has %.3f of the calls, want %.3f", b, weights, at.now/second, got, want)
				}
			}
		}
	}
}

func (c *Cluster) warmed(e *Endpoint, now int64) float64 { return e.warmth(now, c.warmFor) }

// TestSlowStartAlone: an endpoint that is new is chosen all the same where there is no other.
func TestSlowStartAlone(t *testing.T) {
	s := service("", 0, 0)
	s.SlowStart = time.Minute
	c := again(t, compile(t, s, Locality{}), service("", 0, 0, 0))
	fresh := c.Find("e2:1")
	fresh.enterNew()
	for range 100 {
		if e := c.Pick(0, 1, rnd(), c.Endpoints()[:2]); e != fresh {
			t.Fatalf("got %v", e)
		}
	}
}

// TestHoldAndBack: an endpoint that is held gets no call; then one, as a probe; then, when that has ended well, a small part
// of its weight. A probe that does not end well doubles the time, up to the most; good health takes the doubling back.
func TestHoldAndBack(t *testing.T) {
	for _, b := range []string{"round-robin", "random", "least-active", "p2c"} {
		c, r := compile(t, service(b, 100, 100, 100), Locality{}), rnd()
		e := c.Endpoints()[0]
		if !e.hold(0, Why{Reason: ReasonErrors}, span{5 * second, 40 * second}, 1) {
			t.Fatal("not held")
		}
		chosen := func(now int64, picks int) (n int) {
			for range picks {
				if c.Pick(0, now, r, nil) == e {
					n++
				}
			}
			return n
		}
		now := int64(0)
		for _, length := range []int64{5, 10, 20, 40, 40} {
			if n := chosen(now+length*second-1, 200); n != 0 {
				t.Fatalf("%s: chosen %d times while it is held for %d s", b, n, length)
			}
			now += length * second
			if n := chosen(now, 500); n != 1 {
				t.Fatalf("%s: chosen %d times after %d s, want once, as a probe", b, n, length)
			}
			h, held := e.halfOpen(now)
			if h == nil || !held {
				t.Fatalf("%s: not half open", b)
			}
			e.probed(h, false, now)
		}
		now += 40 * second
		chosen(now, 100)
		if n := chosen(now+patience, 500); n != 1 { // of the first probe nothing is heard
			t.Fatalf("%s: %d probes after some time, want another one", b, n)
		}
		h, _ := e.halfOpen(now)
		e.probed(h, true, now)
		if n := chosen(now, 2000); n == 0 || n > 200 {
			t.Fatalf("%s: just back, and chosen %d times of 2000", b, n)
		}
		if n := chosen(now+usualWarm, 2000); n < 400 {
			t.Fatalf("%s: long back, and chosen %d times of 2000", b, n)
		}
		for _, step := range []struct{ well, length int64 }{{0, 40}, {85, 40}, {1000, 5}} {
			now += step.well * second
			e.hold(now, Why{Reason: ReasonErrors}, span{5 * second, 40 * second}, 1)
			if h := e.held.Load(); h == nil || h.until-now != step.length*second {
				t.Fatalf("%s: after %d s of good health it is held as %+v, want %d s", b, step.well, h, step.length)
			}
			e.release(e.held.Load(), now)
		}
	}
}

// TestMaxShare: never are more held than may be, nor all, however many are to be.
func TestMaxShare(t *testing.T) {
	for n := 1; n <= 40; n++ {
		for _, share := range []float64{0.01, 0.1, 0.34, 0.5, 0.9, 1} {
			c := compile(t, service("", make([]int, n)...), Locality{})
			held := 0
			for i, e := range c.Endpoints() {
				if c.holdWithin(e, int64(i)*2*second, Why{Reason: ReasonErrors}, span{forever / 4, forever / 4}, 1, share) {
					held++
				}
			}
			want := min(max(int(share*float64(n)+0.9999), 1), n-1)
			if held != want || c.Held() != want {
				t.Fatalf("of %d endpoints %d are held with a share of %v, want %d", n, held, share, want)
			}
			if c.Pick(0, 1, rnd(), nil) == nil {
				t.Fatalf("of %d endpoints with a share of %v none is left", n, share)
			}
		}
	}
}

// TestByHand: an endpoint that was closed by hand gets no call, though it be the only one, nor in a panic; opened by hand it
// gets them at once, and is not held again for the time.
func TestByHand(t *testing.T) {
	for n := 1; n <= 3; n++ {
		c, r := compile(t, service("", make([]int, n)...), Locality{}), rnd()
		for i, e := range c.Endpoints() {
			e.Set(true, 0, []int64{Forever, 60 * second}[i%2])
			if h := c.Health(e, 1); !h.Held || h.Why.String() != "opened by hand" {
				t.Fatalf("%+v", h)
			}
		}
		if e := c.Pick(0, second, r, nil); e != nil {
			t.Fatalf("got %v, which is opened by hand", e)
		}
		if e := c.Pick(0, 61*second, r, nil); (e == nil) != (n == 1) {
			t.Fatalf("got %v of %d after a minute", e, n)
		}
		e := c.Endpoints()[0]
		e.Set(false, 70*second, 80*second)
		if got := c.Pick(0, 70*second, r, c.Endpoints()[1:]); got != e {
			t.Fatalf("got %v, not the one that is open again", got)
		}
		why := Why{Reason: ReasonErrors}
		if e.hold(79*second, why, span{second, second}, 1) || !c.Health(e, 79*second).Kept {
			t.Fatal("held while somebody wants it open")
		}
		if !e.hold(81*second, why, span{second, second}, 1) {
			t.Fatal("it can't be held any more")
		}
	}
}

// TestWords: every reason has its word and its sentence.
func TestWords(t *testing.T) {
	for r := range Reason(NumReasons) {
		w := Why{Reason: r, Method: "m", Workloads: []string{"a", "b"}, SiblingCalls: 3}
		if r.String() == "" || r.String() == "invalid" || w.String() == "" || r > 0 && w.String() == "in use" {
			t.Errorf("%d: %q, %q", r, r, w.String())
		}
	}
	if s := fmt.Sprint(Reason(99)); s != "invalid" {
		t.Error(s)
	}
}
