package proxy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// This file is circuit breakers: those of methods, which a call meets before it is sent, and what people say of any. A
// worker finds a method's breaker once and keeps it with the method's counters.

// maxBreakers bounds the methods that have a breaker. Those of which nothing is known make room; beyond, methods have none.
const maxBreakers = 4096

// breakers are those of methods, over all workers.
type breakers struct {
	mu    sync.Mutex
	by    map[methodKey]*cluster.Breaker
	swept int64         // when room was looked for last, worker clock
	round atomic.Uint32 // grows when workers have to look again
}

// find returns a method's breaker; nil: it has none, or there is no room for one. Safe for concurrent use, for rare
// things: it locks.
func (b *breakers) find(key methodKey, create bool, now int64) *cluster.Breaker {
	b.mu.Lock()
	defer b.mu.Unlock()
	br := b.by[key]
	if br != nil || !create {
		return br
	}
	if len(b.by) >= maxBreakers && !b.makeRoom(now) {
		return nil
	}
	if b.by == nil {
		b.by = map[methodKey]*cluster.Breaker{}
	}
	br = &cluster.Breaker{}
	b.by[key] = br
	return br
}

// makeRoom forgets breakers of which nothing is known, and reports whether there was one. It looks at all, so not often. The
// lock is held.
func (b *breakers) makeRoom(now int64) bool {
	if b.swept != 0 && now-b.swept < sweepEvery {
		return false
	}
	b.swept = now
	for k, old := range b.by {
		if old.Idle(now) {
			delete(b.by, k)
		}
	}
	if len(b.by) >= maxBreakers {
		return false
	}
	b.round.Add(1)
	return true
}

const sweepEvery = int64(1e9) // ns

// breakerAllows reports whether the circuit breaker of the call's method lets it go on; otherwise the fault that answers
// it. The policy is known. Loop only.
func (w *worker) breakerAllows(c *call) (protocol.Fault, bool) {
	br := w.methodBreaker(c)
	if br == nil || c.dry == nil && br.Allow(w.now) || c.dry != nil && br.Would(w.now) {
		return protocol.Fault{}, true
	}
	return protocol.Fault{Code: protocol.CodeBreaker, Message: openText(c, br.Health(w.now), w.now)}, false
}

// methodBreaker is the breaker of the call's method; nil: it has none.
func (w *worker) methodBreaker(c *call) *cluster.Breaker {
	s := c.stats
	if c.dry != nil && !s.other { // none is made
		return w.p.breakers.find(methodKey{c.cluster.Name, string(c.to.Method)}, false, w.now)
	}
	wants := c.policy.Breaker != nil && c.policy.Breaker.Scope == govern.PerMethod
	if round := w.p.breakers.round.Load(); s.breakerRound != round || wants && s.breaker == nil && w.now >= s.breakerAgain {
		if s.breakerRound = round; wants {
			s.breakerAgain = w.now + sweepEvery // where there was no room
		}
		if s.other { // shared by methods that have nothing to do with each other
			return nil
		}
		s.breaker = w.p.breakers.find(methodKey{c.cluster.Name, string(c.to.Method)}, wants, w.now)
	}
	return s.breaker
}

func openText(c *call, h cluster.Health, now int64) string {
	text := "the circuit breaker of " + string(c.to.Method) + " of service " + string(c.to.Service) + " is open"
	switch {
	case h.Why.Reason == cluster.ReasonManual:
		return text + ", by hand (bellhop breaker close)"
	case h.Until > now:
		text += " for " + time.Duration(h.Until-now).Round(time.Millisecond).String() + " more"
	}
	return text + ": " + h.Why.String()
}

// countBreaker counts how a call ended for the breaker that its rule wants.
func (w *worker) countBreaker(c *call, o *cluster.Outcome) {
	r, name := c.policy.Breaker, c.policy.By[govern.ActBreaker]
	if r.Scope == govern.PerEndpoint {
		if o.Trip(r, name) {
			w.stats.ejections[cluster.ReasonBreaker]++
		}
		return
	}
	if br := w.methodBreaker(c); br != nil && br.Count(o, r, name) {
		w.stats.breakersOpened++
	}
}

// BreakerStatus is one circuit breaker that is not as it usually is: of a method, or of an endpoint, which is also kept
// away from by what is known of its health.
type BreakerStatus struct {
	Service  string `json:"service"`
	Endpoint string `json:"endpoint,omitempty"`
	Method   string `json:"method,omitempty"`
	EndpointHealth
}

// EndpointHealth is why, and until when, calls are kept away from an endpoint or a method.
type EndpointHealth struct {
	State  string    `json:"state"`            // closed, open, half-open
	Reason string    `json:"reason,omitempty"` // errors, slow, connect, breaker, manual
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"` // when some calls are let through again; zero: when somebody says so
	Times  int       `json:"times,omitempty"`
	Share  float64   `json:"weight_share"` // of its weight that an endpoint has: below 1 while it is new or just back
	Kept   bool      `json:"kept_closed,omitempty"`
	Why    string    `json:"why,omitempty"` // the evidence
}

// healthOf puts health into words and times.
func (p *Proxy) healthOf(h cluster.Health) EndpointHealth {
	out := EndpointHealth{State: "closed", Share: h.Share, Kept: h.Kept}
	at := func(ns int64) time.Time {
		if ns == cluster.Forever {
			return time.Time{}
		}
		return p.born.Add(time.Duration(ns))
	}
	if h.Kept {
		out.Until = at(h.Until)
	}
	if !h.Held {
		return out
	}
	out.State, out.Reason, out.Times, out.Why = "open", h.Why.Reason.String(), h.Times, h.Why.String()
	out.Until = at(h.Until)
	if h.Since > 0 {
		out.Since = at(h.Since)
	}
	if h.HalfOpen {
		out.State = "half-open"
	}
	return out
}

// usual reports whether there is nothing to be said.
func (h *EndpointHealth) usual() bool { return h.State == "closed" && h.Share >= 1 && !h.Kept }

// Breakers returns what is open, half-open, just back, or kept closed by hand: endpoints first, then methods. Safe for
// concurrent use.
func (p *Proxy) Breakers() []BreakerStatus {
	now, t := p.clock(), p.table.Load()
	out := []BreakerStatus{}
	if t != nil {
		for _, name := range t.Names() {
			cl := t.Lookup([]byte(name))
			for _, e := range cl.Endpoints() {
				if h := p.healthOf(cl.Health(e, now)); !h.usual() {
					out = append(out, BreakerStatus{Service: name, Endpoint: e.String(), EndpointHealth: h})
				}
			}
		}
	}
	return append(out, p.MethodBreakers()...)
}

// MethodBreakers returns those of methods alone, by service and method. Safe for concurrent use.
func (p *Proxy) MethodBreakers() []BreakerStatus {
	now, out := p.clock(), []BreakerStatus{}
	p.breakers.mu.Lock()
	for key, br := range p.breakers.by {
		h := p.healthOf(br.Health(now))
		h.Share = 1
		if !h.usual() {
			out = append(out, BreakerStatus{Service: key.service, Method: key.method, EndpointHealth: h})
		}
	}
	p.breakers.mu.Unlock()
	slices.SortFunc(out, func(a, b BreakerStatus) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Method, b.Method))
	})
	return out
}

// SetBreaker opens or closes, by hand, the breaker of an endpoint, named by its address as the registry writes it, or of a
// method. An open one stays open for so long, or with 0 until it is closed; a closed one is not opened again by anything
// for so long. Safe for concurrent use.
func (p *Proxy) SetBreaker(service, target, state string, d time.Duration) error {
	if state != "open" && state != "close" {
		return fmt.Errorf("unknown state %q: use open or close", state)
	}
	if service == "" || target == "" || d < 0 {
		return fmt.Errorf("name a service and an endpoint or a method, and a time that is not negative")
	}
	open, now := state == "open", p.clock()
	until := now + int64(d)
	if open && d == 0 {
		until = cluster.Forever
	}
	var cl *cluster.Cluster
	if t := p.table.Load(); t != nil {
		cl = t.Lookup([]byte(service))
	}
	if cl == nil {
		return fmt.Errorf("service %s is not known here: bellhop status lists those that are", service)
	}
	if e := cl.Find(target); e != nil {
		e.Set(open, now, until)
		return nil
	}
	if strings.ContainsAny(target, ":/") {
		return fmt.Errorf("service %s has no endpoint %s: bellhop status lists those it has", service, target)
	}
	br := p.breakers.find(methodKey{service, target}, open, now)
	if br == nil && open {
		return fmt.Errorf("there are %d methods with breakers already, which is the most", maxBreakers)
	}
	if br != nil {
		br.Set(open, until)
		p.breakers.round.Add(1)
	}
	return nil
}

func reasonMap(a *[cluster.NumReasons]uint64) map[string]uint64 {
	out := map[string]uint64{}
	for i, n := range a {
		if r := cluster.Reason(i); r != cluster.ReasonNone && r != cluster.ReasonManual {
			out[r.String()] = n
		}
	}
	return out
}

func measureMap(a *[numMeasures]uint64) map[string]uint64 {
	out := map[string]uint64{}
	for i, n := range a {
		out[measureWords[i]] = n
	}
	return out
}
