package cluster

import (
	"fmt"
	"math"
	"testing"

	"github.com/bellhop-mesh/bellhop/registry"
)

// TestSpillShares: the table of Envoy's documentation for two priority levels, and for three.
func TestSpillShares(t *testing.T) {
	for _, c := range []struct{ healthy, want [maxTiers]float32 }{
		{[3]float32{1, 1}, [3]float32{1, 0}},
		{[3]float32{0.72, 1}, [3]float32{1, 0}},
		{[3]float32{0.71, 1}, [3]float32{0.994, 0.006}},
		{[3]float32{0.5, 1}, [3]float32{0.7, 0.3}},
		{[3]float32{0.25, 1}, [3]float32{0.35, 0.65}},
		{[3]float32{0, 1}, [3]float32{0, 1}},
		{[3]float32{0.2, 0.2}, [3]float32{0.5, 0.5}},
		{[3]float32{0.5, 0.25, 1}, [3]float32{0.7, 0.3, 0}},
		{[3]float32{0.25, 0.25, 1}, [3]float32{0.35, 0.35, 0.3}},
		{[3]float32{0, 0, 0}, [3]float32{}},
	} {
		got := spillShares(c.healthy, 3, 1.4)
		for i := range got {
			if math.Abs(float64(got[i]-c.want[i])) > 1e-3 {
				t.Errorf("healthy %v: %v, want %v", c.healthy, got, c.want)
				break
			}
		}
	}
	if got := spillShares([3]float32{0.1, 1, 1}, 3, 0); got != [3]float32{1} {
		t.Errorf("without a spill: %v", got)
	}
}

// zones is a service with endpoints in these zones of a, b: here is host h in zone a.
func zones(here, near, far int) *registry.Service {
	s := &registry.Service{Name: "S"}
	for i := range here + near + far {
		e := registry.Endpoint{Addr: fmt.Sprintf("e%d:1", i), Zone: "a"}
		if i < here {
			e.Host = "h"
		} else if i >= here+near {
			e.Zone = "b"
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}

var here = Locality{Host: "h", Zone: "a"}

// tierShares picks and returns the part of the picks that each tier had.
func tierShares(c *Cluster, now int64, picks int) (out [maxTiers]float64) {
	r := rnd()
	for range picks {
		out[c.Pick(0, now, r, nil).near] += 1 / float64(picks)
	}
	return out
}

// TestSpill: while all are well the nearest has every call; then it has its share by the curve, with every balancer, and
// what is left goes to the next tiers.
func TestSpill(t *testing.T) {
	for _, b := range []string{"round-robin", "random", "least-active", "p2c"} {
		s := zones(4, 4, 8)
		s.Balancer = b
		c := compile(t, s, here)
		for step, want := range []([maxTiers]float64){{1, 0, 0}, {1, 0, 0}, {0.7, 0.3, 0}, {0.35, 0.65, 0}, {0, 1, 0}} {
			now := int64(step) * second
			for i := range step {
				c.Endpoints()[i].hold(now, Why{Reason: ReasonErrors}, span{forever / 4, forever / 4}, 1)
			}
			got := tierShares(c, now, 20_000)
			for i := range want {
				if math.Abs(got[i]-want[i]) > 0.015 {
					t.Errorf("%s: %d of 4 are held, and the tiers have %v of the calls, want %v", b, step, got, want)
				}
			}
		}
		view, panicking := c.Tiers(0, 5*second)
		if len(view) != 3 || panicking || view[0].Healthy != 0 || view[1].Share != 1 || view[2].Near != "far" {
			t.Errorf("%s: %+v", b, view)
		}
	}
}

// TestSpillOff: without it a near tier has all calls as long as one endpoint is usable.
func TestSpillOff(t *testing.T) {
	s := zones(0, 4, 4)
	s.ZoneSpill, s.Panic = registry.Off, registry.Off
	c := compile(t, s, here)
	for _, e := range c.Endpoints()[:3] {
		e.hold(0, Why{Reason: ReasonErrors}, span{forever / 4, forever / 4}, 1)
	}
	if got := tierShares(c, 0, 1000); got[1] < 0.999 {
		t.Errorf("the near tier has %v", got)
	}
}

// TestPanic: with less than the threshold healthy, health is not looked at, but a back-off after failed connects is.
func TestPanic(t *testing.T) {
	for _, held := range []int{5, 6, 7, 8, 9, 10} {
		s := service("", make([]int, 10)...)
		s.Panic = 0.25
		c, r := compile(t, s, Locality{}), rnd()
		for _, e := range c.Endpoints()[:held] {
			e.hold(0, Why{Reason: ReasonErrors}, span{forever / 4, forever / 4}, 1)
		}
		got := map[*Endpoint]bool{}
		for range 1000 {
			got[c.Pick(0, 0, r, nil)] = true
		}
		want := 10 - held
		if held > 7 {
			want = 10
		}
		if len(got) != want {
			t.Errorf("%d of 10 are held, and %d are chosen, want %d", held, len(got), want)
		}
	}
}

// TestExamineLarge: of a large tier a part is looked at, and what is found is about right.
func TestExamineLarge(t *testing.T) {
	c := compile(t, service("", make([]int, 20_000)...), Locality{})
	for i, e := range c.Endpoints() {
		if i%10 < 4 {
			e.States[0].DownUntil = forever
		}
	}
	if h := c.tiers[0].healthy(0, 1, 12_345); math.Abs(h-0.6) > 0.06 {
		t.Errorf("%v are healthy, want 0.6", h)
	}
}
