package proxy

import (
	"context"

	"github.com/bellhop-mesh/bellhop/proxy/cluster"
)

// EndpointStats is what is known of one endpoint.
type EndpointStats struct {
	Service  string `json:"service"`
	Endpoint string `json:"endpoint"`
	Framing  string `json:"framing"`
	Mode     string `json:"mode"`
	Zone     string `json:"zone,omitempty"`
	Weight   int    `json:"weight"`
	Conns    int    `json:"connections"`
	InFlight int    `json:"calls_in_flight"`
	Waiting  int    `json:"calls_waiting"`
	Latency  int64  `json:"latency_us"`
	Down     bool   `json:"backing_off"`

	Health *EndpointHealth `json:"health,omitempty"` // nil: there is nothing to be said
}

// Clusters returns the endpoints of every service, the remote proxies last.
func (p *Proxy) Clusters(ctx context.Context) ([]EndpointStats, error) {
	t, now := p.table.Load(), p.clock()
	var out []EndpointStats
	var all []*cluster.Endpoint
	add := func(cl *cluster.Cluster) {
		for _, e := range cl.Endpoints() {
			all = append(all, e)
			out = append(out, EndpointStats{
				Service: cl.Name, Endpoint: e.String(), Framing: e.Wire.Framing.String(), Mode: cl.Mode.String(), Zone: e.Zone,
				Weight: e.Weight, Conns: int(e.Conns.Load()),
			})
			if h := p.healthOf(cl.Health(e, now)); !h.usual() {
				out[len(out)-1].Health = &h
			}
		}
	}
	for _, name := range t.Names() {
		add(t.Lookup([]byte(name)))
	}
	add(t.Remotes)
	parts := make(chan []cluster.State, len(p.workers))
	err := p.each(ctx, func(w *worker) {
		states := make([]cluster.State, len(all))
		for i, e := range all {
			states[i] = e.States[w.id]
			states[i].DownUntil -= w.now
			states[i].Failures = 0
			if pl, ok := states[i].Pool.(*pool); ok {
				states[i].Failures = int32(pl.waiting())
			}
		}
		parts <- states
	})
	for len(parts) > 0 {
		for i, s := range <-parts {
			out[i].InFlight += s.Active - int(s.Failures)
			out[i].Waiting += int(s.Failures)
			out[i].Latency = max(out[i].Latency, int64(s.Latency/1000))
			out[i].Down = out[i].Down || s.DownUntil > 0
		}
	}
	return out, err
}
