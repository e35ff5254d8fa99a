package proxy

import (
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// TestEndpointTime: two sources share an endpoint's only connection by the time that their calls have it, not by their
// number; and by their weights.
func TestEndpointTime(t *testing.T) {
	r := newRig(t, nil, &registry.Snapshot{Services: map[string]*registry.Service{
		"Echo": {Name: "Echo", MaxConns: 1, MaxPending: 100, Timeout: time.Hour, Endpoints: []registry.Endpoint{{Addr: "e1:1"}}},
	}})
	r.p.SetRules(parseRules(t, []byte("version: 1\nsources: [{match: {source: heavy}, weight: 2}]")))
	takes := map[string]time.Duration{"slow": 10 * time.Millisecond, "quick": time.Millisecond, "heavy": 3 * time.Millisecond}
	callers := map[*source]*fakeConn{}
	for name := range takes {
		c := r.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, Identity{Source: name, Workload: "w"})
		callers[c.ctx.(*downstream).src] = c
		for range 3 {
			c.bring(frame("Echo:say", 1, 1, 1, "x"))
		}
	}
	up := r.connected(r.dials[0], nil)
	used := map[string]time.Duration{}
	var all time.Duration
	for range 5000 {
		src := up.ctx.(*upstream).calls.src
		r.now += int64(takes[src.Source])
		used[src.Source] += takes[src.Source]
		all += takes[src.Source]
		callers[src].arrive(frame("Echo:say", 1, 1, 1, "x"))
		reply := up.taken()
		reply[7] = 2
		up.bring(reply)
		callers[src].taken()
	}
	for name, part := range map[string]float64{"slow": 0.25, "quick": 0.25, "heavy": 0.5} {
		if got := float64(used[name]) / float64(all); got < part*0.97 || got > part*1.03 {
			t.Errorf("source %s had the connection for %.3f of the time, want %.3f", name, got, part)
		}
	}
}
