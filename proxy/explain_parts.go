package proxy

import (
	"fmt"
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

// tiersOf puts together what the workers know of a service's endpoints.
func (p *Proxy) tiersOf(cl *cluster.Cluster, all []explained) []Tier {
	t := Tier{Name: "all", Endpoints: []Candidate{}}
	for _, ep := range cl.Endpoints() {
		t.Endpoints = append(t.Endpoints, p.candidate(ep, cl.MaxConns, all))
	}
	return []Tier{t}
}

func (p *Proxy) remotesOf(cl *cluster.Cluster, all []explained) []Candidate {
	out := []Candidate{}
	for _, ep := range cl.Endpoints() {
		out = append(out, p.candidate(ep, cl.MaxConns, all))
	}
	return out
}

func (p *Proxy) candidate(ep *cluster.Endpoint, most int, all []explained) Candidate {
	c := Candidate{
		Endpoint: ep.String(), Zone: ep.Zone, Weight: ep.Weight, Conns: int(ep.Conns.Load()), MostConns: most, AgoMS: -1,
	}
	if last := ep.LastSuccess(); last > 0 {
		c.AgoMS = time.Duration(p.clock() - last).Milliseconds()
	}
	for i := range all {
		s := all[i].states[ep]
		c.InFlight += s.Active - s.waiting
		c.Waiting += s.waiting
		c.LatencyUS = max(c.LatencyUS, int64(s.Latency/1e3))
		c.BackOffMS = max(c.BackOffMS, (s.backOff+1e6-1)/1e6)
		c.Failures = max(c.Failures, int(s.Failures))
		c.Granted += s.granted
	}
	c.State = "usable"
	if c.BackOffMS > 0 {
		c.State, c.Why = "backing off", fmt.Sprintf("%d connects failed in a row; for %dms more", c.Failures, c.BackOffMS)
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
