package proxy

import (
	"fmt"
	"sync"
	"testing"

	"github.com/bellhop-mesh/bellhop/registry"
)

// TestCallsInFlightAreShared: while there is room one source may have more than its share in flight; when there is not, each
// is held to its share by its weight and its workload's, and nobody is kept from it.
func TestCallsInFlightAreShared(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Limits.TotalCalls, c.Limits.SourceCalls, c.Limits.Depth = 400, 150, 1000
	}, &registry.Snapshot{Services: map[string]*registry.Service{
		"Echo": {Name: "Echo", Mode: "multiplexed", MaxPending: 1000, Endpoints: []registry.Endpoint{{Addr: "e1:1"}}},
	}})
	r.p.SetRules(parseRules(t, []byte("version: 1\nsources: [{match: {workload: w}, workload_weight: 3}]")))
	flood := func(id Identity) *source {
		c := r.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, id)
		for range 200 {
			c.bring(frame("Echo:say", 1, 1, 1, "x"))
		}
		return c.ctx.(*downstream).src
	}
	greedy := flood(Identity{Source: "greedy", Workload: "g"})
	if n := greedy.calls.Load(); n != 150 {
		t.Fatalf("a source alone has %d calls in flight, may have 150", n)
	}
	// 400 shared 1:3 with w; w's by two.
	flood(Identity{Source: "w1", Workload: "w"})
	w2 := flood(Identity{Source: "w2", Workload: "w"})
	if n := w2.calls.Load(); n < 100 || n > 150 {
		t.Errorf("the third source has %d calls in flight", n)
	}
	c := r.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, Identity{Source: "greedy", Workload: "g"})
	if c.bring(frame("Echo:say", 1, 1, 1, "x")); greedy.calls.Load() != 150 || len(c.out) == 0 {
		t.Error("a source beyond its share was let have more when room was scarce")
	}
	if n := r.p.fairShare(greedy); n != 100 {
		t.Errorf("the share of a quarter of 400 is %d", n)
	}
	for len(r.conns) > 0 {
		for c := range r.conns {
			c.drop()
			break
		}
	}
	if n := r.p.active.Load(); n != 0 {
		t.Errorf("weights of %d are counted when nobody is active", n)
	}
}

// TestSetLend: under pressure less is lent: with nothing lent a source is held to its share though there is room.
func TestSetLend(t *testing.T) {
	for _, k := range []struct {
		lend float64
		want int64
	}{{1, 150}, {0.6, 117}, {0, 100}} { // half of 400 is lent at most; the others have three
		r := newRig(t, func(c *Config) {
			c.Limits.TotalCalls, c.Limits.SourceCalls, c.Limits.Depth = 400, 150, 1000
		}, &registry.Snapshot{Services: map[string]*registry.Service{
			"Echo": {Name: "Echo", Mode: "multiplexed", MaxPending: 1000, Endpoints: []registry.Endpoint{{Addr: "e1:1"}}},
		}})
		r.p.SetLend(k.lend)
		for i := range 4 {
			c := r.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, Identity{Source: fmt.Sprint(i), Workload: fmt.Sprint(i)})
			c.bring(frame("Echo:say", 1, 1, 1, "x"))
		}
		c := r.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, Identity{Source: "3", Workload: "3"})
		for range 200 {
			c.bring(frame("Echo:say", 1, 1, 1, "x"))
		}
		if n := c.ctx.(*downstream).src.calls.Load(); n != k.want {
			t.Errorf("lending %v: a source of four has %d calls in flight, want %d", k.lend, n, k.want)
		}
	}
}

// TestActiveWeights: however sources begin and cease on several loops at once, what is counted at the end is right.
func TestActiveWeights(t *testing.T) {
	r := newRig(t, nil, &registry.Snapshot{})
	var all []*source
	for i := range 6 {
		all = append(all, r.p.sources.join(Identity{Source: fmt.Sprint(i), Workload: fmt.Sprint(i % 2)}, 10))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 20_000 {
				s := all[i%len(all)]
				r.p.begin(s)
				r.p.cease(s)
			}
		})
	}
	wg.Wait()
	if r.p.active.Load() != 0 || all[0].team.active.Load() != 0 || all[1].team.active.Load() != 0 {
		t.Errorf("counted at the end: %d workloads, %d and %d sources", r.p.active.Load(), all[0].team.active.Load(), all[1].team.active.Load())
	}
	r.p.begin(all[0])
	r.p.begin(all[1])
	r.p.begin(all[2])
	if r.p.active.Load() != 2 || all[0].team.active.Load() != 2 || all[1].team.active.Load() != 1 {
		t.Errorf("counted: %d workloads, %d and %d sources", r.p.active.Load(), all[0].team.active.Load(), all[1].team.active.Load())
	}
}
