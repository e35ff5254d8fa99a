package proxy

import (
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// pick chooses an endpoint that was not tried. A caller whose calls are ordered stays on the one it had.
func (c *call) pick(w *worker) *cluster.Endpoint {
	if e := c.tries.next; e != nil {
		c.tries.next = nil
		return e
	}
	if c.d != nil && c.cluster.Ordered && c.tries.n == 0 {
		if e := c.d.sticky; e != nil && e.States[w.id].DownUntil <= w.now && c.cluster.Has(e) {
			return e
		}
	}
	e := c.cluster.Pick(w.id, w.now, w.rnd, c.tries.tried[:c.tries.n])
	if e != nil && c.d != nil && c.cluster.Ordered {
		c.d.sticky = e
	}
	return e
}

// observe tells the endpoint's state how a call that was sent there has ended. It is called once for each time that a call
// was sent, when its endpoint is known and before the call is finished. Loop only.
func (w *worker) observe(c *call, class govern.Class) {
	c.tries.came(class, w.now-c.sentAt)
	state := &c.endpoint.States[w.id]
	switch class {
	case govern.ClassOK:
		state.Succeeded(w.now)
		state.Observe(w.now - c.sentAt)
	case govern.ClassCaller, govern.ClassBusy, govern.ClassFailed:
		state.Observe(w.now - c.sentAt)
	}
}
