package cluster

import (
	"sync/atomic"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/registry"
)

// This file makes views: some of the endpoints of a cluster, to choose among. A view is made when the first call needs it,
// and with the next table for those that were in use: no call waits for that again. Version and labels are the
// registry's word on an endpoint and no part of its identity: when they change, its connections and its health stay.

// maxViews bounds the views of one cluster.
const maxViews = 64

type view struct {
	part  *govern.Part
	of    *Cluster
	inUse atomic.Bool
}

// View returns the cluster's endpoints that belong to a part, for choosing only: whose connections they are is the
// cluster's to say. The parts of one Key must be the same. nil: there are too many views (more than 64). Safe for
// concurrent use.
func (c *Cluster) View(p *govern.Part) *Cluster {
	if p.Version == "" && p.Zone == "" && len(p.Labels) == 0 {
		return c
	}
	if v := c.seen(p); v != nil {
		if !v.inUse.Load() {
			v.inUse.Store(true)
		}
		return v.of
	}
	return c.addView(p, true)
}

func (c *Cluster) seen(p *govern.Part) *view {
	if list := c.views.Load(); list != nil {
		for _, v := range *list {
			if v.part == p || v.part.Key == p.Key {
				return v
			}
		}
	}
	return nil
}

// addView makes a view and keeps it.
func (c *Cluster) addView(p *govern.Part, inUse bool) *Cluster {
	var made *view
	for {
		if v := c.seen(p); v != nil { // another worker's
			return v.of
		}
		old := c.views.Load()
		var list []*view
		if old != nil {
			list = *old
		}
		if len(list) >= maxViews {
			return nil
		}
		if made == nil {
			made = &view{part: p, of: c.filter(p)}
			made.inUse.Store(inUse)
		}
		next := append(list[:len(list):len(list)], made)
		if c.views.CompareAndSwap(old, &next) {
			return made.of
		}
	}
}

// CarryViews makes those views that were in use of an earlier table's cluster. old may be nil. Before it is in use only.
func (c *Cluster) CarryViews(old *Cluster) {
	if c == nil || old == nil || old == c {
		return
	}
	if list := old.views.Load(); list != nil {
		for _, v := range *list {
			if v.inUse.Load() {
				c.addView(v.part, false)
			}
		}
	}
}

// filter makes a view.
func (c *Cluster) filter(p *govern.Part) *Cluster {
	v := &Cluster{
		Name: c.Name, balancer: c.balancer, warmFor: c.warmFor, panicAt: c.panicAt, spill: c.spill,
		cursor: make([]uint32, len(c.cursor)), sick: make([]sickness, len(c.sick)),
	}
	belongs := make(map[*Endpoint]struct{})
	for i, e := range c.all {
		if c.from != nil && partHas(p, &c.from.Endpoints[i]) {
			belongs[e] = struct{}{}
			v.all = append(v.all, e)
		}
	}
	for i := range c.tiers {
		var some []*Endpoint
		for _, e := range c.tiers[i].all {
			if _, ok := belongs[e]; ok {
				some = append(some, e)
			}
		}
		if len(some) > 0 {
			v.tiers = append(v.tiers, newTier(some))
		}
	}
	return v
}

func partHas(p *govern.Part, e *registry.Endpoint) bool {
	if p.Version != "" && e.Version != p.Version || p.Zone != "" && e.Zone != p.Zone {
		return false
	}
	for k, want := range p.Labels {
		if got, ok := e.Labels[k]; !ok || got != want {
			return false
		}
	}
	return true
}

// Described returns what the registry says of each of the endpoints, in the order of Endpoints. nil: nothing. It must not
// be changed. Safe for concurrent use.
func (c *Cluster) Described() []registry.Endpoint {
	if c.from == nil {
		return nil
	}
	return c.from.Endpoints
}
