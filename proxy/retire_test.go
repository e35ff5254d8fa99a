package proxy

import (
	"fmt"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// manyServices are n services with one endpoint each, on hosts of this name.
func manyServices(n int, host string) *registry.Snapshot {
	s := &registry.Snapshot{Services: map[string]*registry.Service{}}
	for i := range n {
		name := fmt.Sprintf("S%d", i)
		s.Services[name] = &registry.Service{Name: name, Endpoints: []registry.Endpoint{{Addr: fmt.Sprintf("%s%d:1", host, i)}}}
	}
	return s
}

// connectAll makes a call to each of n services and answers all but the last one. It returns the endpoints' ends.
func (r *rig) connectAll(n int) (caller *fakeConn, ups []*fakeConn) {
	caller = r.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, Identity{Source: "a"})
	for i := range n {
		caller.bring(frame(fmt.Sprintf("S%d:say", i), 1, 7, 1, "x"))
		up := r.connected(r.dials[0], nil)
		ups = append(ups, up)
		reply := up.taken()
		reply[7] = 2
		if i < n-1 {
			up.bring(reply)
			continue
		}
		up.in = reply // brought later
	}
	caller.taken()
	return caller, ups
}

// TestManyLeave: when a table loses thousands of endpoints, a batch closes only so many connections, the loop comes round
// until all is done, and a call in flight ends well.
func TestManyLeave(t *testing.T) {
	const n = 10 * retireClose
	r := newRig(t, nil, manyServices(n, "old"))
	caller, ups := r.connectAll(n)
	stays := r.w.pools[n/2].endpoint
	next := manyServices(n, "new")
	kept := fmt.Sprintf("S%d", n/2)
	next.Services[kept] = &registry.Service{Name: kept, Endpoints: []registry.Endpoint{{Addr: fmt.Sprintf("old%d:1", n/2)}}}
	r.setTable(next)
	rounds := 0
	for r.woken = true; r.woken; rounds++ {
		before := len(r.closed)
		r.woken = false
		r.w.begin()
		r.w.round()
		r.w.end()
		if closed := len(r.closed) - before; closed > 2*retireClose { // round has two batches
			t.Fatalf("round %d closed %d connections; a batch is to close %d", rounds, closed, retireClose)
		}
		if rounds > n {
			t.Fatal("it never ends")
		}
	}
	if want := n / retireClose / 2; rounds < want {
		t.Errorf("all was done in %d rounds, want at least %d", rounds, want)
	}
	for i, u := range ups {
		if want := i != n/2 && i != n-1; u.gone != want {
			t.Errorf("connection %d closed: %t, want %t", i, u.gone, want)
		}
	}
	if len(r.w.pools) != 1 || r.w.pools[0].endpoint != stays {
		t.Errorf("%d pools are left", len(r.w.pools))
	}
	last := ups[n-1]
	last.bring(last.in)
	if got := caller.taken(); len(got) == 0 || got[7] != 2 {
		t.Errorf("the call in flight got %x", got)
	}
	if !last.gone {
		t.Error("its connection stands, although its endpoint has left")
	}
}

// TestTableAgain: a table that comes while the pools of the one before are being given up, and brings endpoints back.
func TestTableAgain(t *testing.T) {
	const n = 4 * retireClose
	r := newRig(t, nil, manyServices(n, "old"))
	caller, ups := r.connectAll(n)
	ups[n-1].bring(ups[n-1].in)
	caller.taken()
	r.setTable(manyServices(n, "new"))
	r.w.begin() // one batch
	r.w.end()
	r.setTable(manyServices(n, "old")) // new ones, of the same name
	r.woken = true
	r.settle()
	for i, u := range ups {
		if !u.gone {
			t.Errorf("connection %d stands: its endpoint is another one now", i)
		}
	}
	if len(r.w.pools) != 0 {
		t.Errorf("%d pools are left", len(r.w.pools))
	}
	caller.bring(frame("S0:say", 1, 7, 1, "x"))
	up := r.connected(r.dials[0], nil)
	if len(up.taken()) == 0 {
		t.Error("the endpoint that came back gets no call")
	}
}

// BenchmarkSwap measures the worker's longest batch when a table changes under 20,000 pools that stay, and when the
// endpoints of 2,000 with a connection leave.
func BenchmarkSwap(b *testing.B) {
	for name, c := range map[string]struct {
		pools int
		next  string
	}{"stay": {20_000, "old"}, "leave": {2000, "new"}} {
		b.Run(name, func(b *testing.B) {
			var longest time.Duration
			for b.Loop() {
				b.StopTimer()
				r := newRig(b, func(c *Config) { c.Limits.SourceCalls = 30_000; c.Limits.TotalCalls = 30_000 }, manyServices(c.pools, "old"))
				_, _ = r.connectAll(c.pools)
				r.setTable(manyServices(c.pools, c.next))
				b.StartTimer()
				for r.woken = true; r.woken; {
					r.woken = false
					start := time.Now()
					r.w.begin()
					r.w.end()
					longest = max(longest, time.Since(start))
				}
			}
			b.ReportMetric(float64(longest.Microseconds()), "µs-longest-batch")
		})
	}
}
