package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/bellhop-mesh/bellhop/registry"
)

func compile(t testing.TB, s *registry.Service, loc Locality) *Cluster {
	t.Helper()
	c, err := New(s, 1, loc, Defaults{MaxConns: 4, MaxPending: 4, Depth: 8}, func(*Endpoint) *Endpoint { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// service has endpoints e0, e1, … with these weights.
func service(balancer string, weights ...int) *registry.Service {
	s := &registry.Service{Name: "S", Balancer: balancer}
	for i, w := range weights {
		s.Endpoints = append(s.Endpoints, registry.Endpoint{Addr: fmt.Sprintf("e%d:1", i), Weight: w})
	}
	return s
}

func rnd() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// share picks n times and returns how often each endpoint was chosen.
func share(c *Cluster, n int, after func(*Endpoint)) map[string]int {
	got, r := map[string]int{}, rnd()
	for range n {
		e := c.Pick(0, 0, r, nil)
		got[e.Addr]++
		if after != nil {
			after(e)
		}
	}
	return got
}

// TestWeights: every balancer that knows weights gives 1:2:5 within a twentieth, also when calls stay in flight.
func TestWeights(t *testing.T) {
	for _, b := range []struct {
		name  string
		after func(*Endpoint)
	}{
		{"round-robin", nil}, {"random", nil}, {"least-active", func(e *Endpoint) { e.States[0].Active++ }},
	} {
		t.Run(b.name, func(t *testing.T) {
			const n = 8000
			got := share(compile(t, service(b.name, 100, 200, 500), Locality{}), n, b.after)
			for addr, want := range map[string]int{"e0:1": n / 8, "e1:1": n / 4, "e2:1": n * 5 / 8} {
				if d := got[addr] - want; d < -n/20 || d > n/20 {
					t.Errorf("%s was chosen %d times of %d, want about %d", addr, got[addr], n, want)
				}
			}
		})
	}
}

// TestEqualTurns: without weights round-robin is exact, and least-active without calls takes turns too.
func TestEqualTurns(t *testing.T) {
	for _, b := range []string{"round-robin", "least-active", ""} {
		for addr, n := range share(compile(t, service(b, 0, 0, 0, 0), Locality{}), 400, nil) {
			if n != 100 {
				t.Errorf("%q: %s was chosen %d times of 400, want 100", b, addr, n)
			}
		}
	}
}

// TestSmoothWeights: smooth weighted round robin spreads the heavy one out, as nginx documents for 5:1:1.
func TestSmoothWeights(t *testing.T) {
	c, r := compile(t, service("round-robin", 5, 1, 1), Locality{}), rnd()
	var got []string
	for range 7 {
		got = append(got, strings.TrimSuffix(c.Pick(0, 0, r, nil).Addr, ":1"))
	}
	if s := strings.Join(got, " "); s != "e0 e0 e1 e0 e2 e0 e0" {
		t.Fatalf("got %s", s)
	}
}

// TestLeastActive: the one with the fewest calls per weight is chosen, among a few and among many.
func TestLeastActive(t *testing.T) {
	for _, n := range []int{2, 5, scanLimit} {
		c := compile(t, service("least-active", make([]int, n)...), Locality{})
		for i, e := range c.Endpoints() {
			e.States[0].Active = 10 + i
		}
		c.Endpoints()[n/2].States[0].Active = 1
		for range 10 {
			if e := c.Pick(0, 0, rnd(), nil); e != c.Endpoints()[n/2] {
				t.Fatalf("of %d: got %s with %d calls", n, e, e.States[0].Active)
			}
		}
	}
	many := compile(t, service("least-active", make([]int, 500)...), Locality{})
	if got := share(many, 5000, nil); len(got) < 400 {
		t.Fatalf("of 500 endpoints only %d are ever chosen", len(got))
	}
}

// TestTiers: the same host, then the same zone, then the rest; the next tier only when none of the former is usable.
func TestTiers(t *testing.T) {
	s := &registry.Service{Name: "S", Endpoints: []registry.Endpoint{
		{Addr: "far:1", Zone: "z2"}, {Addr: "near:1", Zone: "z1"}, {Addr: "here:1", Host: "h1", Zone: "z1"}, {Addr: "unix:/run/s"},
	}}
	c := compile(t, s, Locality{Host: "h1", Zone: "z1"})
	var order []string
	var tried []*Endpoint
	for range 4 {
		e := c.Pick(0, 0, rnd(), tried)
		tried = append(tried, e)
		order = append(order, e.String())
	}
	if got := strings.Join(order, " "); got != "here:1 unix:/run/s near:1 far:1" && got != "unix:/run/s here:1 near:1 far:1" {
		t.Fatalf("got %s", got)
	}
	if e := c.Pick(0, 0, rnd(), tried); e != nil {
		t.Fatalf("all were tried, got %s", e)
	}
}

// TestLocalAddress: an endpoint on an address of this host is in the first tier, whatever its port.
func TestLocalAddress(t *testing.T) {
	s := &registry.Service{Name: "S", Endpoints: []registry.Endpoint{{Addr: "10.0.0.2:1"}, {Addr: "[fd00::1]:1"}}}
	c := compile(t, s, Locality{Local: func(host string) bool { return host == "fd00::1" }})
	for range 5 {
		if e := c.Pick(0, 0, rnd(), nil); e.Addr != "[fd00::1]:1" {
			t.Fatalf("got %s", e)
		}
	}
}

// TestBackOff: after failed connects an endpoint is left out, longer each time up to a second; when all are, the one
// that is due first is offered.
func TestBackOff(t *testing.T) {
	for _, b := range []string{"least-active", "round-robin", "random", "p2c"} {
		c := compile(t, service(b, 100, 100, 300), Locality{})
		e0, e1, e2 := c.Endpoints()[0], c.Endpoints()[1], c.Endpoints()[2]
		e0.States[0].ConnectFailed(0)
		r := rnd()
		for range 50 {
			if c.Pick(0, 0, r, nil) == e0 {
				t.Fatalf("%s: chosen while it backs off", b)
			}
		}
		e1.States[0].ConnectFailed(5)
		e2.States[0].ConnectFailed(7)
		if e := c.Pick(0, 10, r, nil); e != e0 {
			t.Fatalf("%s: all back off: got %s, want the first that is due", b, e)
		}
		if e := c.Pick(0, 10, r, []*Endpoint{e0}); e != e1 {
			t.Fatalf("%s: all back off, one was tried: got %s", b, e)
		}
		e2.States[0].Connected()
		if e := c.Pick(0, 10, r, nil); e != e2 {
			t.Fatalf("%s: got %s, want the one that is up again", b, e)
		}
	}
	var s State
	var got []int64
	for now := int64(0); len(got) < 6; now = s.DownUntil {
		s.ConnectFailed(now)
		got = append(got, (s.DownUntil-now)/1e6)
	}
	if want := "[100 200 400 800 1000 1000]"; fmt.Sprint(got) != want {
		t.Fatalf("back-off in ms: %v, want %v", got, want)
	}
}

// TestConnectsTogether: connects that fail at the same time are one failure, not many.
func TestConnectsTogether(t *testing.T) {
	var s State
	for range 16 {
		s.ConnectFailed(1000)
	}
	if d := s.DownUntil - 1000; d != backoffMin {
		t.Fatalf("backs off for %d ms, want 100", d/1e6)
	}
}

// TestRefusals: every wrong word is refused and named together with its service.
func TestRefusals(t *testing.T) {
	for word, s := range map[string]*registry.Service{
		"framing":    {Framing: "morse"},
		"mode":       {Mode: "sometimes"},
		"balancer":   {Balancer: "dice"},
		"seqid":      {SeqID: "maybe"},
		"positional": {SeqID: "positional", Mode: "multiplexed"},
		"endpoint":   {Endpoints: []registry.Endpoint{{Addr: "e1:1", Framing: "morse"}}},
	} {
		s.Name = "Bad"
		_, err := New(s, 1, Locality{}, Defaults{}, func(*Endpoint) *Endpoint { return nil })
		if err == nil || !strings.Contains(err.Error(), "service Bad") || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: got %v", word, err)
		}
		if checked := Check(s); checked == nil || err == nil || checked.Error() != err.Error() {
			t.Errorf("%s: Check says %v, New %v", word, checked, err)
		}
	}
	if err := Check(service("p2c", 1, 2)); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

// TestAnyZone: a zone is no reason to be chosen when the service says so; the host still is.
func TestAnyZone(t *testing.T) {
	for _, any := range []bool{false, true} {
		s := &registry.Service{Name: "s", AnyZone: any, Endpoints: []registry.Endpoint{
			{Addr: "10.0.0.1:1", Zone: "a"}, {Addr: "10.0.0.2:1", Zone: "b"}, {Addr: "10.0.0.3:1", Host: "h", Zone: "b"},
		}}
		c, err := New(s, 1, Locality{Host: "h", Zone: "a"}, Defaults{}, func(*Endpoint) *Endpoint { return nil })
		if err != nil {
			t.Fatal(err)
		}
		sizes := []int{}
		for _, tier := range c.tiers {
			sizes = append(sizes, len(tier.all))
		}
		want := []int{1, 1, 1}
		if any {
			want = []int{1, 2}
		}
		if !slices.Equal(sizes, want) || c.tiers[0].all[0].Addr != "10.0.0.3:1" {
			t.Errorf("any zone %t: tiers of %v endpoints, want %v", any, sizes, want)
		}
	}
}
