package cluster

import (
	"math"
	"testing"
)

// TestObserve: a peak counts at once, a better time by how long it has been: after τ the old one has 1/e of the weight.
func TestObserve(t *testing.T) {
	var s State
	s.Observe(0, 1600)
	if s.Observe(int64(ewmaDecay), 800); math.Abs(s.Latency-(800+800/math.E)) > 5 {
		t.Fatalf("after 1600 and, τ later, 800: %v", s.Latency)
	}
	before := s.Latency
	for range 1000 { // no matter how many calls there are
		s.Observe(int64(ewmaDecay), 100)
	}
	if s.Latency != before {
		t.Fatalf("no time has passed, and it is %v instead of %v", s.Latency, before)
	}
	if s.Observe(int64(ewmaDecay), 5000); s.Latency != 5000 {
		t.Fatalf("a peak: %v, want 5000", s.Latency)
	}
}

// TestDecayed: it is e^(−t/τ) to 6 % up to 2 τ, where it matters.
func TestDecayed(t *testing.T) {
	for _, x := range []float64{0, 0.01, 0.1, 0.5, 1, 1.5, 2} {
		if got, want := decayed(int64(x*ewmaDecay)), math.Exp(-x); math.Abs(got/want-1) > 0.06 {
			t.Errorf("after %v τ: %v, want %v", x, got, want)
		}
	}
	if got := decayed(int64(100 * ewmaDecay)); got > 1e-3 {
		t.Errorf("after 100 τ: %v", got)
	}
}

// TestP2CAvoidsTheSlow: an endpoint whose replies take long gets few calls, and is tried again when that is long ago.
func TestP2CAvoidsTheSlow(t *testing.T) {
	c := compile(t, service("p2c", 0, 0, 0), Locality{})
	for i, e := range c.Endpoints() {
		e.States[0].Observe(0, int64(1+99*(i/2))*1e6) // e2: 100 ms, the others 1 ms
	}
	if n := share(c, 3000, nil)["e2:1"]; n != 0 {
		t.Fatalf("two different ones are compared, and the slow one was chosen %d times of 3000", n)
	}
	r, slow := rnd(), c.Endpoints()[2]
	now := int64(0)
	for ; now < int64(20*ewmaDecay); now += 10e6 {
		e := c.Pick(0, now, r, nil)
		if e == slow {
			break
		}
		e.States[0].Observe(now, 1e6)
	}
	if now < int64(ewmaDecay) || now > int64(10*ewmaDecay) {
		t.Fatalf("the slow one was tried again after %d s", now/1e9)
	}
}

// TestP2CNewcomer: an endpoint of which nothing is known gets one call, and no other one before it has answered.
func TestP2CNewcomer(t *testing.T) {
	c, r := compile(t, service("p2c", 0, 0, 0, 0), Locality{}), rnd()
	for _, e := range c.Endpoints()[1:] {
		e.States[0].Observe(0, 1e6)
	}
	fresh := c.Endpoints()[0]
	n := 0
	for range 1000 {
		if e := c.Pick(0, 0, r, nil); e == fresh {
			fresh.States[0].Active++
			n++
		}
	}
	if n != 1 {
		t.Fatalf("it got %d calls before it answered, want 1", n)
	}
	fresh.States[0].Active = 0
	fresh.States[0].Observe(0, 2e6)
	for range 1000 {
		if c.Pick(0, 0, r, nil) == fresh {
			t.Fatal("it takes twice as long as the others, and is chosen")
		}
	}
}
