package proxy

import (
	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// pick chooses an endpoint that was not tried, of the part of the endpoints that a rule sends the call to. A caller whose
// calls are ordered stays on the one it had.
func (c *call) pick(w *worker) *cluster.Endpoint {
	if e := c.tries.next; e != nil {
		c.tries.next = nil
		return e
	}
	from, strict := c.cluster, false
	if p := c.part; p != nil && !c.handed {
		strict = p.Strict
		if v := c.cluster.View(p); v != nil {
			if from = v; c.dry != nil {
				c.dry.undisturbed(w, v)
			}
		} else if strict {
			return nil
		}
	}
	ordered := c.d != nil && c.cluster.Ordered
	if ordered && c.tries.n == 0 {
		if e := c.d.sticky; e != nil && e.Admits(w.id, w.now) && from.Has(e) {
			return e
		}
	}
	var e *cluster.Endpoint
	switch {
	case from == c.cluster && !strict:
		e = from.Pick(w.id, w.now, w.rnd, c.tries.tried[:c.tries.n])
	default:
		if e = from.Usable(w.id, w.now, w.rnd, c.tries.tried[:c.tries.n]); e == nil && !strict {
			e = c.cluster.Pick(w.id, w.now, w.rnd, c.tries.tried[:c.tries.n])
		}
	}
	if e != nil && ordered {
		c.d.sticky = e
	}
	return e
}

// nowhere is the code of a call for which pick found nothing.
func (c *call) nowhere(code protocol.Code) protocol.Code {
	if c.part != nil && c.part.Strict && !c.handed && c.tries.n == 0 {
		return protocol.CodeSubset
	}
	return code
}

// observe tells what is known of the endpoint how a call that was sent there has ended. It is called once for each time
// that a call was sent, when its endpoint is known and before the call is finished. Loop only.
func (w *worker) observe(c *call, class govern.Class) {
	c.tries.came(class, w.now-c.sentAt)
	w.tell(c, c.endpoint, c.sentAt, class)
}

// tell is observe of an attempt that was made at an endpoint before the call went on to another.
func (w *worker) tell(c *call, e *cluster.Endpoint, sentAt int64, class govern.Class) {
	state := &e.States[w.id]
	switch class {
	case govern.ClassOK:
		state.Succeeded(w.now)
		state.Observe(w.now, w.now-sentAt)
	case govern.ClassCaller, govern.ClassBusy, govern.ClassFailed, govern.ClassDeadline:
		state.Observe(w.now, w.now-sentAt)
	}
	if e.Remote || c.stats == nil || c.cluster == nil { // how a call ended there says nothing of the remote proxy
		return
	}
	o := cluster.Outcome{
		Cluster: c.cluster, Endpoint: e, Method: &c.stats.evidence, Class: class, Workload: c.src.workloadKey, Sent: sentAt, Now: w.now,
		MethodName: c.to.Method, WorkloadName: c.src.teamName(),
	}
	w.stats.ejections[w.evidence.Observe(&o)]++
	if c.policy != nil && c.policy.Breaker != nil {
		w.countBreaker(c, &o)
	}
}

// observeConnect tells it that connecting failed. Loop only.
func (w *worker) observeConnect(cl *cluster.Cluster, e *cluster.Endpoint) {
	if e.Remote {
		return
	}
	why := cl.ConnectFailed(e, w.id, w.now)
	if w.stats.ejections[why]++; why == cluster.ReasonConnect {
		w.recheck(e)
	}
}
