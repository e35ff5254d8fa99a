package proxy_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/registry"
)

// TestExplainUnderLoad asks two workers again and again while calls go through them, rules come and go and breakers are set:
// every call is answered, and what is told of an idle proxy afterwards is what was done.
func TestExplainUnderLoad(t *testing.T) {
	e := &echo{}
	addrs := []string{serve(t, e, framed(), binary()), serve(t, e, framed(), binary())}
	p, addr := start(t, 2, nil, &registry.Service{
		Name: "Echo", Balancer: "p2c", Timeout: 20 * time.Second, Endpoints: []registry.Endpoint{{Addr: addrs[0], Version: "v1"}, {Addr: addrs[1], Version: "v2"}},
	})
	ctx, stop := context.WithCancel(t.Context())
	var asking, calling sync.WaitGroup
	asking.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			split := &govern.Split{Total: 2, Parts: []govern.Part{{Weight: 1, Version: "v1", Key: "v1"}, {Weight: 1, Version: "v2", Key: "v2"}}}
			p.SetRules(govern.New([]govern.Rule{{Name: "split", Split: split}, {Name: "limit", Limit: &govern.Limit{Rate: 1e6, Burst: 1e6}}}, nil))
			if err := p.SetBreaker("Echo", addrs[i%2], "close", time.Millisecond); err != nil {
				t.Error(err)
			}
			x, err := p.Explain(ctx, proxy.Query{Service: "Echo", Method: "say", Source: "test", Failed: 5})
			if ctx.Err() != nil {
				return
			}
			if err != nil || x.Verdict.Outcome != proxy.OutcomeSent || len(x.Workers) != 2 || len(x.Limits) != 1 || len(x.Policy) != 1 || x.Policy[0].Action != "split" {
				t.Errorf("%+v, %v", x, err)
				return
			}
		}
	})
	for i := range 8 {
		c := dial(t, addr, "Echo", framed(), binary())
		calling.Go(func() { callMany(t, c, i, 40) })
	}
	calling.Wait()
	stop()
	asking.Wait()
	x, err := p.Explain(t.Context(), proxy.Query{Service: "Echo", Method: "say"})
	if err != nil {
		t.Fatal(err)
	}
	if x.Calls["ok"] != 320 || len(x.Calls) != 1 || len(x.Tiers) != 1 || len(x.Tiers[0].Endpoints) != 2 || x.Tiers[0].Endpoints[0].Version == "" {
		t.Errorf("%+v", x)
	}
	for _, c := range x.Tiers[0].Endpoints {
		if c.InFlight != 0 || c.Waiting != 0 || c.AgoMS < 0 || c.Conns == 0 || c.Health.State != "closed" {
			t.Errorf("%+v", c)
		}
	}
}
