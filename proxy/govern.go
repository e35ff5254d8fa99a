package proxy

import (
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/remote"
)

// This file does with a call what the rules say of it (package govern), between admit and choose.
//
//	onRequest ─► govern ─► access ─► deadline ─► limits ─► governed ─► choose
//	                                              ├─► limitQueue: waits (govern_queue.go), then the limits that are left
//	                                              └─► handOver, or fail
//
// Of a call that another proxy has handed over, that proxy has asked access, limits and remote: it knows who calls.

// SetRules puts rules in force; workers take them up with their next batch. Limits that the rules before have just so keep
// their state. nil: there are none. Safe for concurrent use.
func (p *Proxy) SetRules(r *govern.Rules) {
	p.rulesMu.Lock()
	defer p.rulesMu.Unlock()
	if old := p.rules.Load(); old != r {
		r.Inherit(old)
		p.sources.ruledBy(r)
		p.rules.Store(r)
	}
}

// Rules returns the rules in force; nil: there are none. Safe for concurrent use.
func (p *Proxy) Rules() *govern.Rules { return p.rules.Load() }

// noPolicy is that of a proxy without rules.
var noPolicy govern.Policy

// govern does with an admitted call what the rules say, and goes on with choose unless they forbid, delay or divert it. Its
// service is known. Loop only.
func (w *worker) govern(c *call, m *protocol.Message) {
	c.policy, c.decision = &noPolicy, nil
	if w.rules == nil || ownService(c.cluster.Name) {
		w.governed(c, m)
		return
	}
	r := w.resolve(c)
	d := r.For(&govern.Call{Version: m.Version, Caller: m.Caller, Header: m})
	if c.dry == nil {
		d.Count()
	}
	c.policy, c.decision = &d.Policy, d
	if r := d.Policy.Retry; r != nil && r.Idempotent {
		c.idempotent = c.mayRunTwice()
	}
	if c.policy.Deny && c.hops == 0 {
		w.fail(c, protocol.Fault{Code: protocol.CodeDenied, Message: "rule " + c.policy.By[govern.ActAccess] + " denies source " + c.src.Source +
			" the method " + string(c.to.Method) + " of service " + c.cluster.Name})
		return
	}
	if c.ruledDeadline(m); c.deadline <= w.now {
		w.fail(c, protocol.Fault{Code: protocol.CodeDeadline, Message: "the deadline of " + c.allowed().String() + " had passed before the call's turn came" + c.deadlineRule()})
		return
	}
	if len(c.policy.Limits) > 0 && c.hops == 0 {
		if r.Privileged {
			w.privileged(c)
		} else if !w.limits(c, m, 0) {
			return
		}
	}
	w.governed(c, m)
}

// denied reports whether the rules deny a call that leaves before it was governed: a bound is reached, or its service is not
// known here. The remote proxy would not ask, for it does not know who calls.
func (w *worker) denied(c *call, m *protocol.Message) bool {
	if c.policy != nil || w.rules == nil || ownService(string(c.to.Service)) {
		return false
	}
	var r *govern.Resolved
	if c.cluster != nil {
		r = w.resolve(c)
	} else {
		r = w.rules.Resolve(string(c.to.Service), string(c.to.Method), c.src.known(), govern.Uncounted)
	}
	return r.For(&govern.Call{Version: m.Version, Caller: m.Caller, Header: m}).Policy.Deny
}

// ownService reports whether a service is the proxy's own, which rules say nothing of.
func ownService(name string) bool { return strings.HasPrefix(name, remote.Service+".") }

// governed goes on with a call that access and limits let pass.
func (w *worker) governed(c *call, m *protocol.Message) {
	if f, ok := w.breakerAllows(c); !ok {
		w.fail(c, f)
		return
	}
	if c.policy.Remote && c.hops == 0 && w.sendAway(c, m, protocol.CodeOK) {
		return
	}
	if w.p.guard.active.Load() && w.shed(c, m) {
		return
	}
	w.choose(c, m)
}

// sendAway hands a call over that could be served here as well: because a rule says so, for a drain, or to relieve this proxy.
// false: the remote tier can't have it, and nothing has changed.
func (w *worker) sendAway(c *call, m *protocol.Message, code protocol.Code) bool {
	home := c.cluster
	c.couldStay = true // before it is handed over: it may be over, and another's, after
	if w.handOver(c, m, code) {
		return true
	}
	c.stays(home)
	return false
}

// stays takes back that a call was handed over: it is one of this cluster's, which no endpoint was offered yet.
func (c *call) stays(home *cluster.Cluster) {
	c.cluster, c.handed, c.couldStay, c.spilled, c.tries = home, false, false, false, attempts{}
}

// servedHere has a call served here after all that a rule, a drain or this proxy's relief sent away, when no remote proxy could
// be reached.
func (w *worker) servedHere(c *call, m *protocol.Message) bool {
	if !c.couldStay && !c.returns || c.retried {
		return false
	}
	cl := w.table.Lookup(c.to.Service)
	if cl == nil {
		return false
	}
	if c.returns {
		c.returns, c.probe, c.hops = false, false, remote.MaxHops // it goes nowhere else
	}
	c.stays(cl)
	w.choose(c, m)
	return true
}

// ruledDeadline puts a rule's deadline in force: it goes before the service's, and bounds what the caller brought.
func (c *call) ruledDeadline(m *protocol.Message) {
	d := min(c.policy.Deadline, c.w.p.cfg.Timeouts.MaxCall)
	if d == 0 {
		return
	}
	if c.brought {
		d = min(d, c.allowed())
	}
	c.deadline = c.from + int64(d)
	m.Timeout = time.Duration(c.deadline - c.w.now)
	if c.d != nil && c.dry == nil { // nobody waits for a oneway whose caller has gone
		c.w.wheel.arm(&c.timer, c.deadline)
	}
}

// privileged counts a call that passes limits for its source's sake.
func (w *worker) privileged(c *call) {
	if c.dry != nil {
		return
	}
	for _, l := range c.policy.Limits {
		w.counts(l.Rule).Outcomes[govern.Privileged]++
	}
}

// permit is a call's place in a limit. Permits are kept in a list, so that a call may have any number. Loop only.
type permit struct {
	bucket *govern.Bucket
	next   *permit
}

// hold notes that a call was counted by a limit.
func (w *worker) hold(c *call, b *govern.Bucket) {
	p := w.permits
	if p == nil {
		p = &permit{}
	} else {
		w.permits = p.next
	}
	p.bucket, p.next = b, c.permits
	c.permits = p
}

// releasePermits ends a call for the limits that count it, at its end for its caller.
func (w *worker) releasePermits(c *call) {
	for p := c.permits; p != nil; p = c.permits {
		c.permits = p.next
		b := p.bucket
		p.bucket, p.next, w.permits = nil, w.permits, p
		b.Release()
		if b.Waiting() > 0 {
			w.released(b)
		}
	}
}

// refund takes back that limits have counted a call which does not pass them all.
func (w *worker) refund(c *call) {
	for p := c.permits; p != nil; p = p.next {
		p.bucket.Refund()
	}
	w.releasePermits(c)
}

// limits asks the limits of a call, from the one with this number on. false: it was dealt with.
func (w *worker) limits(c *call, m *protocol.Message, from int) bool {
	for i := from; i < len(c.policy.Limits); i++ {
		l, b := c.policy.Limits[i], c.decision.Bucket(i, m.Caller, w.now)
		if l.Excess == govern.Queue && b.Waiting() > 0 { // not before those
			return w.excess(c, m, i, b, 1)
		}
		if wait := w.asks(c, b); wait != 0 {
			return w.excess(c, m, i, b, wait)
		}
		w.counted(c, b)
	}
	return true
}

// asks has a limit count a call, unless that is only rehearsed.
func (w *worker) asks(c *call, b *govern.Bucket) (wait int64) {
	if c.dry != nil {
		wait, _, _ = b.Look(w.now)
		return wait
	}
	return b.Take(w.now)
}

// counted: a limit lets the call pass. Nobody would tell that a oneway ends whose caller has gone.
func (w *worker) counted(c *call, b *govern.Bucket) {
	switch {
	case c.dry != nil:
	case c.d == nil:
		b.Release()
	default:
		w.hold(c, b)
	}
}

// excess does with a call what its limit i says of those beyond it. wait is what the bucket has said. Always false: the call
// was dealt with.
func (w *worker) excess(c *call, m *protocol.Message, i int, b *govern.Bucket, wait int64) bool {
	l := c.policy.Limits[i]
	n := w.counts(l.Rule)
	if c.dry != nil {
		n = &govern.Counts{}
	}
	switch l.Excess {
	case govern.Queue:
		if full := w.enqueue(c, m, i, b, wait); full != "" {
			n.Outcomes[govern.QueueFull]++
			w.beyond(c, l, b, full)
			return false
		}
		n.Outcomes[govern.Queued]++
		return false
	case govern.Overflow:
		w.refund(c)
		if w.handOver(c, m, protocol.CodeLimit) {
			n.Outcomes[govern.Overflowed]++
			return false
		}
	}
	n.Outcomes[govern.Rejected]++
	w.beyond(c, l, b, "")
	return false
}

// beyond refuses a call that is beyond a limit. more says what else there is to say.
func (w *worker) beyond(c *call, l *govern.Limit, b *govern.Bucket, more string) {
	w.refund(c)
	c.beyond = l
	w.fail(c, protocol.Fault{Code: protocol.CodeLimit, Message: "rule " + l.Rule + " limits " + b.Key + " to " + l.String() + more})
}

// deadlineRule names the rule that gave a call its deadline, for a fault.
func (c *call) deadlineRule() string {
	if c.policy == nil || c.policy.Deadline == 0 || c.policy.Deadline != c.allowed() {
		return ""
	}
	return " (rule " + c.policy.By[govern.ActDeadline] + ")"
}
