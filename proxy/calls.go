package proxy

import (
	"errors"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/remote"
)

// This file is the path of a call. Everything here runs on the loop of the caller's worker.
//
//	downstream.readable ─► onRequest ─► govern ─► choose ─► upstream.send ─► flush ─► endpoint
//	                          │           │          └──► handOver ─► a remote proxy's connection, sent in the same way
//	                          │           ├──► waits for a limit, handOver, or fail (govern.go)
//	                          │           └──► shed, while the proxy is hard pressed: handOver, or fail (shed.go)
//	                          ├──► full, at a remote proxy that is: fail (shed.go)
//	                          ├──► lookUp: waits until its service is known, then govern (lookup.go)
//	                          └──► fail ◄── deadline, lost connection, no endpoint, a bound
//	endpoint ─► upstream.readable ─► onReply ─► downstream's slot ─► flush ─► caller
//	                                    └──► again: one more endpoint (retry.go)

// maxTries bounds the endpoints one call is offered to: the first and at most two others, while it is provably unsent.
const maxTries = 3

// onRequest takes in one decoded call: bounds, deadline and cluster first, then an endpoint.
func (w *worker) onRequest(d *downstream, m *protocol.Message) {
	c := w.calls.get()
	if c == nil {
		d.refuse(m, protocol.Fault{Code: protocol.CodeTotalCalls, Message: "the proxy's call table is full"})
		return
	}
	w.enter(c, m, w.admit(c, d, m))
}

// enter has a call go on that was taken in, or not: f says why not.
func (w *worker) enter(c *call, m *protocol.Message, f protocol.Fault) {
	switch {
	case f.Code == protocol.CodeOK:
		w.serve(c, m)
	case f.Code == protocol.CodeNoService && w.lookUp(c, m, &f): // goes on when its service is known
	case !w.handOver(c, m, f.Code):
		w.fail(c, f)
	}
}

// serve has a call go on whose service is known.
func (w *worker) serve(c *call, m *protocol.Message) {
	if c.d == nil || !w.p.guard.active.Load() || !w.full(c) {
		w.govern(c, m)
	}
}

// choose offers the call to an endpoint: one that has a connection free or may open one. What can't be placed here goes
// to the remote tier, where that is allowed, or gets a fault.
func (w *worker) choose(c *call, m *protocol.Message) {
	w.toPart(c, m)
	code := protocol.CodeNoEndpoint
	if c.tries.n > 0 {
		code = protocol.CodeConnect
	}
	if c.displaced {
		code = protocol.CodeQueueFull
	}
	for c.tries.more() {
		ep := c.pick(w)
		if ep == nil {
			code = c.nowhere(code)
			break
		}
		c.tries.offered(ep)
		if code = w.poolOf(c.cluster, ep).submit(c, m); code == protocol.CodeOK {
			return
		}
		c.tries.turnedAway(code)
	}
	if !w.handOver(c, m, code) {
		if w.servedHere(c, m) {
			return
		}
		if c.retried { // it was written once
			code = protocol.CodeLost
		}
		w.fail(c, protocol.Fault{Code: code, Message: describe(code, c)})
	}
}

// handOver gives the call to a remote proxy, if the reason and the hop limit allow it. Afterwards the remote proxy's
// connection is an upstream like any other.
func (w *worker) handOver(c *call, m *protocol.Message, code protocol.Code) bool {
	known := c.cluster != nil
	if c.handed || c.upload != nil || c.hops >= remote.MaxHops || !w.p.cfg.HandOff.HandsOff(code, !known || c.cluster.MayRemote) || w.denied(c, m) {
		return false
	}
	if c.dry != nil {
		c.wouldHandOver(code)
	}
	c.handed, c.tries = true, attempts{}
	c.spilled = atOnce(code)
	c.cluster = w.table.Remotes
	for c.tries.more() {
		ep := c.pick(w)
		if ep == nil {
			break
		}
		c.tries.offered(ep)
		if pl := w.poolOf(w.table.Remotes, ep); c.spilled && pl.leaves(c, m) || !c.spilled && pl.submit(c, m) == protocol.CodeOK {
			if c.dry == nil {
				w.stats.handedOver[code]++
			}
			return true
		}
	}
	return false
}

// onReply gives a reply to the call it belongs to. One that belongs to none ends the connection: it is never delivered.
func (w *worker) onReply(u *upstream, m *protocol.Message) {
	c := u.match(m)
	if c == nil {
		w.stats.stray++
		w.doom(&u.session, reasonStray)
		return
	}
	if c.spent {
		u.answered(c)
		return
	}
	u.finished(c)
	if len(u.spent) > 0 && u.mode != cluster.Multiplexed {
		u.retire(w.now + 1)
	}
	if c.d == nil { // its deadline has passed or its caller has gone: late
		w.stats.late++
		w.calls.put(c)
		return
	}
	class, code := outcome(m)
	w.observe(c, class)
	w.replied(c, len(m.Frame))
	if c.oneway { // a framing without a oneway bit answered
		w.finish(c, code)
		return
	}
	if c.probe {
		w.probed(c, !notExecuted(m))
	}
	if c.handed && notExecuted(m) { // said again in the caller's own framing
		if c.returns {
			w.comeBack(c)
			return
		}
		text, _, _ := protocol.AppException(m.Body, m.Payload)
		code := protocol.CodeNoEndpoint
		if c.spilled { // what this proxy has too much of, and the remote one too
			code = protocol.CodeOverload
		}
		w.fail(c, protocol.Fault{Code: code, Message: "remote proxy: " + string(text)})
		return
	}
	if class != govern.ClassOK && w.again(c, class) {
		return
	}
	c.d.grantExtra(m)
	out, err := c.d.codec.AppendReply(c.d.slotBuffer(c, len(m.Frame)+headroom), m, &c.to, &w.scratch)
	if err != nil {
		w.fail(c, badReply(err))
		return
	}
	c.d.slotDone(c, out)
	if code != protocol.CodeOK {
		said(w, exceptionText(m))
	}
	w.finish(c, code)
}

func badReply(err error) protocol.Fault {
	return protocol.Fault{Code: protocol.CodeBadReply, Message: "the reply can't be given in the caller's framing: " + err.Error(), Executed: true}
}

// fail answers a call with the proxy's own fault, in the caller's framing and in the call's slot.
func (w *worker) fail(c *call, f protocol.Fault) {
	if c.dry != nil {
		c.wouldFail(f)
		return
	}
	if c.d != nil && !c.oneway && !c.relayed {
		f.Executed = f.Executed || c.retried // it was written once
		f.GoingAway = w.p.draining.Load() || c.src.moved.Load()
		c.d.slotDone(c, c.d.codec.AppendFault(c.d.slotBuffer(c, 0), f, &c.to))
	}
	if c.d != nil {
		said(w, f.Message)
	}
	w.finish(c, f.Code)
}

// cancel ends a call whose caller has gone. A connection that serves it alone is closed: it must not be pooled with a
// reply to come. A oneway goes on: its caller never meant to wait.
func (w *worker) cancel(c *call) {
	if c.oneway && c.upload == nil && (c.queue == nil || c.orphan()) {
		w.finish(c, protocol.CodeOK)
		return
	}
	c.unqueue()
	if u := c.up; u != nil && (u.mode != cluster.Multiplexed || u.held) {
		w.doom(&u.session, reasonAbandoned)
	}
	w.finish(c, protocol.CodeCanceled)
}

// expired is a call's deadline. A connection that serves this call alone is given up with it; on a multiplexed one the
// call keeps its slot until the late reply or the connection's end, so that its sequence is not given out again.
func (c *call) expired(int64) {
	w, u := c.w, c.up
	switch {
	case w.now >= c.deadline:
	case c.tries.paused:
		w.nextAttempt(c)
		return
	case c.attemptOver():
		return
	default:
		w.wheel.arm(&c.timer, c.deadline)
		return
	}
	f := protocol.Fault{Code: protocol.CodeDeadline, Message: describe(protocol.CodeDeadline, c), Executed: u != nil && c.begin < u.handed}
	if u == nil {
		c.unqueue()
		w.fail(c, f)
		return
	}
	if f.Executed && c.d != nil {
		w.observe(c, govern.ClassDeadline)
	}
	if u.mode != cluster.Multiplexed || u.held {
		w.doom(&u.session, reasonAbandoned)
	} else {
		u.owed(c)
	}
	w.fail(c, f)
}

// notExecuted reports whether a remote proxy answered that it did not run a call.
func notExecuted(m *protocol.Message) bool {
	v, ok := m.Find(remote.KeyNotExecuted)
	return ok && m.Type == protocol.MessageException && string(v) == "true"
}

// describe is the text of a fault the proxy makes: what was wrong and, where there is one, what to do about it.
func describe(code protocol.Code, c *call) string {
	name := string(c.to.Service)
	switch code {
	case protocol.CodeNoService:
		if name == "" {
			return "the call names no service: use Service:method, a service header, or a listener bound to a service"
		}
		return "service " + name + " is not known here: is it in the registry?"
	case protocol.CodeNoEndpoint:
		return "service " + name + " has no endpoint"
	case protocol.CodeConnect:
		return "no endpoint of service " + name + " could be reached"
	case protocol.CodeSubset:
		return "no endpoint of service " + name + " is usable in the part that rule " + c.policy.By[govern.ActSplit] + " sends the call to"
	case protocol.CodeQueueFull:
		return "every endpoint of service " + name + " has a full queue (max_pending)"
	case protocol.CodeSourceQueue:
		return "source " + c.src.Source + " has too many calls waiting for a connection (limits.source_queued)"
	case protocol.CodeDeadline:
		if c.limited() {
			return "the deadline of " + c.allowed().String() + " has passed while the call waited for the limit of rule " + c.policy.Limits[c.limit].Rule
		}
		if c.cluster == nil {
			return "service " + name + " is not known here yet: its look-up was not over within " + c.allowed().String()
		}
		return "service " + name + " did not answer " + string(c.to.Method) + " within " + c.allowed().String() + c.deadlineRule()
	case protocol.CodeLost:
		return "the connection to an endpoint of service " + name + " was lost after the call was written"
	default:
		return code.String()
	}
}

// faultOf turns a codec's refusal to write a message into the fault that answers it.
func faultOf(err error) protocol.Fault {
	var pe *protocol.Error
	if errors.As(err, &pe) {
		return protocol.Fault{Code: pe.Code, Message: err.Error()}
	}
	return protocol.Fault{Code: protocol.CodeInternal, Message: err.Error()}
}
