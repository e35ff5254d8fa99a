package proxy

import (
	"slices"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy/cluster"
)

// Where a setting can come from, besides a key of the configuration.
const (
	FromService = "service" // registry and rules
	FromDefault = "default"
)

// settingsOf tells how the service is called, and where that is said. Safe for concurrent use.
func settingsOf(cl *cluster.Cluster, method string) (out []Setting) {
	keys := map[string]string{
		"timeout": "timeouts.call", "mode": "the framing", "max_connections": "service_defaults.max_connections",
		"max_pending": "service_defaults.max_pending", "depth": "service_defaults.depth",
	}
	for _, s := range cl.Settings(method) {
		from := FromDefault
		if s.Said {
			from = FromService
		} else if k := keys[s.Name]; k != "" {
			from = k
		}
		out = append(out, Setting{Name: s.Name, Value: s.Value, From: from})
	}
	return out
}

// addTiers puts together what the workers know of a service's endpoints. How calls are shared out among the tiers is the
// first worker's view.
func (p *Proxy) addTiers(x *Explanation, cl *cluster.Cluster, all []explained) {
	if len(all) == 0 {
		return
	}
	said, at := cl.Described(), map[*cluster.Endpoint]int{} // in the same order
	for i, ep := range cl.Endpoints() {
		at[ep] = i
	}
	x.Panicking = all[0].panic
	states := make([][]endpointState, len(all))
	for i := range all {
		states[i] = all[i].states
	}
	for _, v := range all[0].tiers {
		t := Tier{Near: v.Near, Healthy: v.Healthy, Share: v.Share, Endpoints: []Candidate{}}
		for _, ep := range v.Endpoints {
			i := at[ep]
			c := p.candidate(ep, cl, i, states)
			if i < len(said) {
				c.Version, c.Labels = said[i].Version, said[i].Labels
			}
			t.Endpoints = append(t.Endpoints, c)
		}
		x.Tiers = append(x.Tiers, t)
	}
}

// breakerOf is the circuit breaker of a method; nil: it has none. Safe for concurrent use.
func (p *Proxy) breakerOf(q *Query) *EndpointHealth {
	now := p.clock()
	br := p.breakers.find(methodKey{q.Service, q.Method}, false, now)
	if br == nil {
		return nil
	}
	h := p.healthOf(br.Health(now))
	return &h
}

func (p *Proxy) remotesOf(cl *cluster.Cluster, all []explained) []Candidate {
	states := make([][]endpointState, len(all))
	for i := range all {
		states[i] = all[i].remotes
	}
	out := []Candidate{}
	for i, ep := range cl.Endpoints() {
		out = append(out, p.candidate(ep, cl, i, states))
	}
	return out
}

// candidate sums what the workers know of endpoint i of a cluster.
func (p *Proxy) candidate(ep *cluster.Endpoint, cl *cluster.Cluster, i int, states [][]endpointState) Candidate {
	c := Candidate{
		Endpoint: ep.String(), Zone: ep.Zone, Weight: ep.Weight, Conns: int(ep.Conns.Load()), MostConns: cl.MaxConns, AgoMS: -1,
		Health: p.healthOf(cl.Health(ep, p.clock())),
	}
	if last := ep.LastSuccess(); last > 0 {
		c.AgoMS = time.Duration(p.clock() - last).Milliseconds()
	}
	for _, worker := range states {
		s := &worker[i]
		c.InFlight += s.Active - s.waiting
		c.Waiting += s.waiting
		c.LatencyUS = max(c.LatencyUS, int64(s.Latency/1e3))
		c.BackOffMS = max(c.BackOffMS, (s.backOff+1e6-1)/1e6)
		c.Failures = max(c.Failures, int(s.Failures))
		c.Granted += s.granted
	}
	return c
}

// budgetsOf is what the worker's budgets have left for such calls. Loop only.
func (w *worker) budgetsOf(q *Query) []Budget {
	lim := &w.p.cfg.Limits
	b := budgets{}
	if of := w.stats.budgets[q.Service]; of != nil {
		b = *of
	}
	return []Budget{
		{Name: "retries", Left: b.retries.now(w.now, w.perWorker(lim.RetryMin)), PerSecond: w.perWorker(lim.RetryMin), Share: lim.RetryShare},
		{Name: "requeues", Left: b.requeues.now(w.now, w.perWorker(lim.RequeueMin)), PerSecond: w.perWorker(lim.RequeueMin), Share: lim.RequeueShare},
	}
}

// addBudgets sums the workers' budgets.
func addBudgets(all []explained) []Budget {
	out := []Budget{}
	for i := range all {
		for _, b := range all[i].budgets {
			at := slices.IndexFunc(out, func(o Budget) bool { return o.Name == b.Name })
			if at < 0 {
				out = append(out, b)
				continue
			}
			out[at].Left += b.Left
			out[at].PerSecond += b.PerSecond
		}
	}
	return out
}
