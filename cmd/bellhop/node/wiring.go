package node

import (
	"fmt"
	"maps"
	"runtime"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/config"
	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/route"
	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/remote"
)

func limits(c *config.Config) proxy.Limits {
	l := &c.Limits
	return proxy.Limits{
		MaxFrame: int(l.MaxFrame), Window: int(l.Window), Depth: l.Depth, SourceCalls: l.SourceCalls, TotalCalls: l.TotalCalls,
		SourceBytes: int64(l.SourceBytes), TotalBytes: int64(l.TotalBytes), SourceConns: l.SourceConns, TotalConns: l.TotalConns,
		SourceQueued: l.SourceQueued, SourceLookups: l.SourceLookups, TotalLookups: l.TotalLookups, MaxMethods: l.MaxMethods, MaxSources: l.MaxSources,
		FailedCalls: l.FailedCalls, FailedTotal: l.FailedTotal,
		RetryShare: l.RetryShare, RetryMin: l.RetryMin, RequeueShare: l.RequeueShare, RequeueMin: l.RequeueMin, IdlePerPool: l.IdlePerPool, ConnectsOpen: l.ConnectsOpen,
	}
}

func timeouts(c *config.Config) proxy.Timeouts {
	t := &c.Timeouts
	return proxy.Timeouts{
		Detect: t.Detect, Frame: t.Frame, WriteStall: t.WriteStall, Idle: t.Idle, MaxAge: t.MaxAge, Call: t.Call, MaxCall: t.MaxCall,
		Lookup: t.Lookup, Connect: t.Connect, UpstreamIdle: t.UpstreamIdle, UpstreamAge: t.UpstreamAge, Stall: t.Stall, KeepAlive: t.KeepAlive,
		UserTimeout: t.UserTimeout,
	}
}

func quarantine(c *config.Config) proxy.Quarantine {
	q := &c.Quarantine
	return proxy.Quarantine{Strikes: q.Strikes, Window: q.Window, First: q.First, Most: q.Most}
}

// bounds are the limits as gauges: a figure in a graph says more beside its bound.
func bounds(c *config.Config) map[string]float64 {
	l := &c.Limits
	return map[string]float64{
		"max_frame": float64(l.MaxFrame), "window": float64(l.Window), "depth": float64(l.Depth), "source_calls": float64(l.SourceCalls),
		"total_calls": float64(l.TotalCalls), "source_bytes": float64(l.SourceBytes), "total_bytes": float64(l.TotalBytes),
		"source_connections": float64(l.SourceConns), "total_connections": float64(l.TotalConns),
		"source_queued": float64(l.SourceQueued), "source_lookups": float64(l.SourceLookups), "total_lookups": float64(l.TotalLookups),
		"max_methods": float64(l.MaxMethods), "max_sources": float64(l.MaxSources),
		"failed_calls": float64(l.FailedCalls), "failed_calls_total": float64(l.FailedTotal),
		"retry_share": l.RetryShare, "retry_min": float64(l.RetryMin), "requeue_share": l.RequeueShare, "requeue_min": float64(l.RequeueMin),
		"idle_per_pool": float64(l.IdlePerPool), "connects_open": float64(l.ConnectsOpen),
	}
}

func (n *node) routeOptions() route.Options {
	c := n.Config
	workers := c.Workers
	if workers == 0 {
		workers = min(runtime.GOMAXPROCS(0), 16) // as the data plane has it
	}
	return route.Options{
		Workers:  workers,
		Locality: cluster.Locality{Host: c.Host, Zone: c.Zone},
		Defaults: cluster.Defaults{
			Timeout: c.Timeouts.Call, MaxConns: c.Defaults.MaxConns, MaxPending: c.Defaults.MaxPending, Depth: c.Defaults.Depth,
		},
		OrderRemotes: func(r []registry.Remote) []registry.Remote { return remote.Order(c.Host, r) },
	}
}

// CheckService judges a whole service as the data plane will.
func CheckService(s *registry.Service) error {
	if s.Name == selftestService || s.Name == remote.Service {
		return fmt.Errorf("the name %s is this proxy's own; give the service another", s.Name)
	}
	return cluster.Check(s)
}

// compile makes a table of a snapshot and the rules, with our own service in it. One at a time.
func (n *node) compile(s *registry.Snapshot, prev *route.Table) (*route.Table, error) {
	if n.rules != nil {
		s = n.rules.Apply(s, n.rules.Rules())
	}
	with := *s
	with.Services = maps.Clone(s.Services)
	if with.Services == nil {
		with.Services = map[string]*registry.Service{}
	}
	with.Services[selftestService] = n.selftestService()
	if n.Role == config.Remote {
		with.Remotes = nil // never hands off again
	}
	return route.Compile(&with, prev, n.routes)
}

// tableChanged is what happens at every new snapshot. It runs on the manager's goroutine.
func (n *node) tableChanged() func(*registry.Snapshot) {
	return func(s *registry.Snapshot) {
		n.swapTable()
		n.lookups.forget(s)
	}
}

// swapTable puts what registry and rules say now in force. The newest of both is read under the lock: what waited for it
// may be old. Safe for concurrent use.
func (n *node) swapTable() {
	n.table.Lock()
	defer n.table.Unlock()
	t, err := n.compile(n.manager.Snapshot(), n.proxy.Table())
	if err != nil {
		n.Log.Error("some services stay as they were", "error", err)
	}
	n.proxy.SetRules(n.callRules())
	n.proxy.SetTable(t)
	n.beacon.SetRemote(remoteAddrs(t))
	n.obeyHostRules()
}

// remoteAddrs are the remote proxies for the address file, in this host's order of preference.
func remoteAddrs(t *route.Table) []addrfile.Addr {
	out := []addrfile.Addr{} // an empty list, not null: the file is read in many languages
	for _, e := range t.Remotes.Endpoints() {
		if len(out) == addrfile.MaxRemote {
			break
		}
		out = append(out, addrfile.Addr{Net: addrfile.TCP, Addr: e.Addr})
	}
	return out
}
