package proxy

import (
	"fmt"
	"math/rand/v2"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// This file rehearses a call: it goes the way of every call, by the same functions, up to where something would be done
// with it. Such a call has call.dry; what would have been done is noted there.
//
//	rehearse ─► enter ─► govern ─► choose ─┬─ pool.submit ─► wouldSend
//	                                       ├─ fail ────────► wouldFail
//	                                       └─ lookUp ──────► wouldLookUp

// rehearse tells what would become of a call now. What choosing moves is put back. Loop only.
func (w *worker) rehearse(q *Query, src *source) Verdict {
	v := rehearsal{Verdict: Verdict{Worker: w.id}}
	defer v.over()
	m := q.message()
	c := &call{w: w, dry: &v, src: src, start: w.now, from: w.now, caller: m.Caller, deadline: w.now + int64(w.p.cfg.Timeouts.Call)}
	c.to.SetFrom(m)
	c.d = &downstream{l: &listener{}, src: src}
	c.d.w = w
	c.cluster = w.table.Lookup(m.Service)
	c.d.sticky = w.stuckTo(c.cluster, src)
	c.stats = w.stats.look(c.cluster, m.Method)
	v.loadTheDice(w)
	v.undisturbed(w, c.cluster)
	v.undisturbed(w, w.table.Remotes)
	if src.quarantined(w.now) {
		c.wouldFail(quarantineFault(src))
		v.Code = v.code.String()
		return v.Verdict
	}
	f := w.bound(src, src.calls.Load()+1, w.p.inFlight.Load()+1)
	if f.Code == protocol.CodeOK && c.cluster == nil {
		f = protocol.Fault{Code: protocol.CodeNoService, Message: describe(protocol.CodeNoService, c)}
	}
	if f.Code == protocol.CodeOK {
		c.idempotent = c.cluster.Idempotent(m.Method) && c.mayRunTwice()
	}
	w.enter(c, m, f)
	v.Code = v.code.String()
	return v.Verdict
}

// stuckTo is the endpoint that a source with one connection stays on for the calls of an ordered service. nil: none.
func (w *worker) stuckTo(cl *cluster.Cluster, src *source) (e *cluster.Endpoint) {
	if cl == nil || !cl.Ordered || src.conns.Load() != 1 {
		return nil
	}
	for d := range w.downs {
		if d.src == src {
			e = d.sticky
		}
	}
	return e
}

// message is the call as it would be read.
func (q *Query) message() *protocol.Message {
	m := &protocol.Message{
		Wire: protocol.Wire{Framing: protocol.FramedBinary, Payload: protocol.Binary}, Type: protocol.MessageCall,
		Service: []byte(q.Service), Method: []byte(q.Method), Version: []byte(q.Version), Caller: []byte(q.Caller),
	}
	for k, val := range q.Header {
		m.Info = append(m.Info, protocol.KV{Key: []byte(k), Value: []byte(val)})
	}
	return m
}

// rehearsal is what is noted of a call that is only rehearsed. Loop only.
type rehearsal struct {
	Verdict
	undo []func() // what has been moved, the last first
}

// undisturbed has choices in a cluster rehearsed.
func (r *rehearsal) undisturbed(w *worker, cl *cluster.Cluster) {
	if cl != nil {
		r.undo = append(r.undo, cl.Remember(w.id, w.now))
	}
}

// over puts back what was moved.
func (r *rehearsal) over() {
	for i := len(r.undo) - 1; i >= 0; i-- {
		r.undo[i]()
	}
}

// loadTheDice has the worker draw the numbers that the next call would draw.
func (r *rehearsal) loadTheDice(w *worker) {
	rnd, dice := w.rnd, *w.dice
	w.rnd = rand.New(&dice) //nolint:gosec // balancing needs spread, not secrecy
	r.undo = append(r.undo, func() { w.rnd = rnd })
}

// wouldTake tells of a rehearsed call what submit would do with it.
func (p *pool) wouldTake(c *call) protocol.Code {
	how := "on a connection that is free"
	if !p.hasRoom() {
		if code := p.refuses(c); code != protocol.CodeOK {
			return code
		}
		if how = "on a connection that would be opened"; p.conns > 0 && int(p.endpoint.Conns.Load()) >= p.cluster.MaxConns {
			how = fmt.Sprintf("when a connection is free: %d calls wait before it", p.waiting())
		}
	}
	v := c.dry
	v.Endpoint = p.endpoint.String()
	if c.handed {
		v.Outcome = OutcomeHanded
		v.Why = "handed over to the remote proxy " + v.Endpoint + ": " + v.Why
		return protocol.CodeOK
	}
	v.Outcome, v.code = OutcomeSent, protocol.CodeOK
	v.Why = "sent to " + v.Endpoint + ", " + how
	return protocol.CodeOK
}

// refuses tells why a call may not wait here, as submit would. CodeOK: it may.
func (p *pool) refuses(c *call) protocol.Code {
	if p.backsOff() {
		return protocol.CodeConnect
	}
	over, code := p.place(c)
	if over != nil { // it is not pushed out, and who would have pushed is not remembered
		p.queue.Refuse(p.flowOf(c.src))
	}
	return code
}

// hasRoom reports whether take would find a connection.
func (p *pool) hasRoom() bool {
	for _, u := range p.open {
		if u.room() {
			return true
		}
	}
	for _, u := range p.idle {
		if u.doomedFor == "" {
			return true
		}
	}
	return false
}

// wouldFail notes the fault that a rehearsed call would get.
func (c *call) wouldFail(f protocol.Fault) {
	v := c.dry
	v.Outcome, v.code, v.Endpoint, v.Why = OutcomeRefused, f.Code, "", f.Message
	v.Rule = c.decidedBy(f.Code)
}

// wouldHandOver notes why a rehearsed call goes to the remote tier.
func (c *call) wouldHandOver(code protocol.Code) {
	c.dry.code, c.dry.Why, c.dry.Rule = code, describe(code, c), c.decidedBy(code)
	switch code {
	case protocol.CodeOverload:
		c.dry.Why = "the proxy protects itself, and the source has more than its share"
	case protocol.CodeDraining:
		c.dry.Why = "the host is drained to the remote tier"
	case protocol.CodeOK:
		c.dry.Rule = c.policy.By[govern.ActRemote]
		c.dry.Why = "rule " + c.dry.Rule + " says so"
	}
}

// wouldQueue notes that a rehearsed call waits for a limit.
func (c *call) wouldQueue(l *govern.Limit, b *govern.Bucket) {
	v := c.dry
	v.Outcome, v.code, v.Rule = OutcomeQueued, protocol.CodeLimit, l.Rule
	v.Why = fmt.Sprintf("it would wait, at most %s, for the limit of rule %s, which limits %s to %s; %d calls wait", l.QueueFor, l.Rule, b.Key, l, b.Waiting())
}

// wouldLookUp: the registry would be asked. Whether it knows the service is not known before.
func (c *call) wouldLookUp() bool {
	v := c.dry
	v.Outcome, v.code = OutcomeLookup, protocol.CodeNoService
	v.Why = "service " + string(c.to.Service) + " is not known here yet: the registry would be asked, and the call would wait at most " +
		c.w.p.cfg.Timeouts.Lookup.String() + " (timeouts.lookup)"
	return true
}
