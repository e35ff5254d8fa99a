package cluster

import (
	"fmt"
	"testing"
)

// TestLargeTier: in a tier too large to be looked at whole, turns are exact over a cycle, also when weights differ; random is
// right on average; who is down gets nothing and the others its share.
func TestLargeTier(t *testing.T) {
	const n = 4 * scanLimit
	weights, sum := make([]int, n), 0
	for i := range weights {
		weights[i] = 1 + i%7
		sum += weights[i]
	}
	c := compile(t, service("round-robin", weights...), Locality{})
	got := share(c, sum, nil)
	for i, w := range weights {
		if addr := fmt.Sprintf("e%d:1", i); got[addr] != w {
			t.Errorf("round-robin: %s with weight %d had %d of %d turns", addr, w, got[addr], sum)
		}
	}
	for _, balancer := range []string{"random", "round-robin"} {
		c = compile(t, service(balancer, weights...), Locality{})
		up := 0
		for i, e := range c.Endpoints() {
			if i%4 != 0 {
				e.States[0].DownUntil = 1000
			} else {
				up += e.Weight
			}
		}
		const picks = 100_000
		got = share(c, picks, nil)
		for i, w := range weights {
			want := 0
			if i%4 == 0 {
				want = picks * w / up
			}
			addr := fmt.Sprintf("e%d:1", i)
			if d := got[addr] - want; d > want/5 || d < -want/5 {
				t.Errorf("%s: %s was chosen %d times of %d, want about %d", balancer, addr, got[addr], picks, want)
			}
		}
	}
}

// TestFewUsable: when drawing does not find one, the usable ones are counted; when there is none, the next tier has its
// turn, and at last who is due first.
func TestFewUsable(t *testing.T) {
	for _, balancer := range []string{"random", "round-robin", "p2c", "least-active"} {
		weights := make([]int, 1000)
		for i := range weights {
			weights[i] = 1 + i%3
		}
		c, r := compile(t, service(balancer, weights...), Locality{}), rnd()
		for _, e := range c.Endpoints() {
			e.States[0].DownUntil = 1000
		}
		only := c.Endpoints()[777]
		only.States[0].DownUntil = 0
		for range 50 {
			if e := c.Pick(0, 0, r, nil); e != only {
				t.Fatalf("%s: got %s, which is down", balancer, e)
			}
		}
		c.Endpoints()[5].States[0].DownUntil = 500
		if e := c.Pick(0, 0, r, []*Endpoint{only}); e != c.Endpoints()[5] {
			t.Fatalf("%s: got %s, not the one that is due first", balancer, e)
		}
	}
}
