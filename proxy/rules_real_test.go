package proxy_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/proxy/rules"
	"github.com/bellhop-mesh/bellhop/registry"
)

func rulesOf(t *testing.T, text string) *govern.Rules {
	t.Helper()
	r, err := rules.Parse("rules", []byte("version: 1\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	return r.Govern()
}

// TestRulesChangeUnderLoad changes rules a thousand times under the calls of two workers, limits with queues among them:
// no call fails, and none is counted at the end.
func TestRulesChangeUnderLoad(t *testing.T) {
	p, addr := start(t, 2, nil, &registry.Service{
		Name: "Echo", Mode: "multiplexed", Timeout: 20 * time.Second, Endpoints: []registry.Endpoint{{Addr: serve(t, &echo{}, framed(), binary())}},
	})
	done := make(chan struct{})
	var changes sync.WaitGroup
	changes.Go(func() {
		for i := 0; i < 1000; i++ {
			p.SetRules(rulesOf(t, fmt.Sprintf(`rules:
  - {name: all, limit: {concurrency: %d, over: queue, queue_for: 20s, queue_most: 1000}}
  - {name: same, limit: {rate: 1000000, burst: 100000, concurrency: 3, by: [service], over: queue, queue_for: 20s, queue_most: 1000}}
  - {name: other %d, match: {service: other}, access: deny}
  - {name: never, match: {service: Echo, caller: nobody}, access: deny}
`, 2+i%2, i)))
		}
		close(done)
	})
	var wg sync.WaitGroup
	for i := range 8 {
		c := dial(t, addr, "Echo", framed(), binary())
		wg.Go(func() {
			for more := true; more && !t.Failed(); {
				select {
				case <-done:
					more = false
				default:
				}
				callMany(t, c, i, 20)
			}
		})
	}
	changes.Wait()
	wg.Wait()
	st, err := p.RuleStats(context.Background())
	if err != nil || len(st.Rules) != 4 || st.Waiting != 0 || st.Rules[1].Calls[govern.ActLimit] == 0 {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestConcurrencyOverWorkers: what several workers send together is never more than the limit says, and all calls are
// answered: those beyond it wait.
func TestConcurrencyOverWorkers(t *testing.T) {
	var now, most atomic.Int64
	e := &echo{onCall: func(string) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		for range 20 { // others may come meanwhile
			runtime.Gosched()
		}
		now.Add(-1)
	}}
	p, addr := start(t, 2, nil, &registry.Service{
		Name: "Echo", MaxConns: 32, Timeout: 20 * time.Second, Endpoints: []registry.Endpoint{{Addr: serve(t, e, framed(), binary())}},
	})
	p.SetRules(rulesOf(t, "rules: [{name: three, limit: {concurrency: 3, over: queue, queue_for: 20s, queue_most: 1000}}]\n"))
	var wg sync.WaitGroup
	for i := range 12 {
		c := dial(t, addr, "Echo", framed(), binary())
		wg.Go(func() { callMany(t, c, i, 50) })
	}
	wg.Wait()
	st, err := p.RuleStats(context.Background())
	if err != nil || most.Load() > 3 || st.Rules[0].Outcomes[govern.Queued] == 0 {
		t.Errorf("%d calls at once at the server; %+v, %v", most.Load(), st, err)
	}
}
