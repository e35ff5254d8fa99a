package cluster

import (
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// TestSettings: what the service says is told as said, the rest as the default that is in force.
func TestSettings(t *testing.T) {
	settings := func(s *registry.Service) map[string]Setting {
		c, err := New(s, 1, Locality{}, Defaults{Timeout: time.Second, MaxConns: 256, MaxPending: 16, Depth: 8}, func(*Endpoint) *Endpoint { return nil })
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]Setting{}
		for _, f := range c.Settings("get") {
			out[f.Name] = f
		}
		return out
	}
	usual := settings(&registry.Service{Name: "Echo"})
	for name, want := range map[string]string{
		"timeout": "1s", "mode": "exclusive", "balancer": "least-active", "max_connections": "256", "max_pending": "16", "depth": "8", "slow_start": "off",
		"zone_spill": "1.4 times the healthy share", "panic": "below 30% healthy", "ejection": "50% failed or 5 times slower; at most 50% of them, for 5s…5m0s",
		"idempotent": "no", "oneway": "no", "ordered": "no", "remote": "no",
	} {
		if f := usual[name]; f.Value != want || f.Said {
			t.Errorf("usual: %+v, want %q", f, want)
		}
	}
	said := settings(&registry.Service{
		Name: "Echo", Timeout: time.Minute, Mode: "multiplexed", Balancer: "p2c", MaxConns: 1, MaxPending: 2, Depth: 3, SlowStart: time.Minute, ZoneSpill: registry.Off,
		Panic: registry.Off, Ejection: registry.Ejection{MaxShare: registry.Off}, Idempotent: []string{"get"}, Oneway: []string{"get"}, Ordered: true, Remote: true,
	})
	for name, want := range map[string]string{
		"timeout": "1m0s", "mode": "multiplexed", "balancer": "p2c", "max_connections": "1", "max_pending": "2", "depth": "3", "slow_start": "1m0s",
		"zone_spill": "off", "panic": "off", "ejection": "off", "idempotent": "yes", "oneway": "yes", "ordered": "yes", "remote": "yes",
	} {
		if f := said[name]; f.Value != want || !f.Said {
			t.Errorf("said: %+v, want %q", f, want)
		}
	}
	if len(said) != 14 || len(usual) != 14 {
		t.Errorf("%d and %d settings, want 14", len(said), len(usual))
	}
}
