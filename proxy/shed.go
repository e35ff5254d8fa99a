package proxy

import (
	"sync/atomic"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/pressure"
	"github.com/bellhop-mesh/bellhop/remote"
)

// This file is what the guard's decisions mean for a call. All of it runs on loops.

// spillOne is the whole of a source's calls in source.excess.
const spillOne = 1 << 16

// measure is one thing that was done with a call to protect the proxy: a metric label.
type measure uint8

const (
	measureHandedOver measure = iota // excess of a source went to the remote tier
	measureServed                    // it should have, and was served here: the grant was used up
	measureRefused                   // it was answered as not executed
	measureDrained                   // went to the remote tier, because the host is drained to it
	measureOverflow                  // a remote proxy refused a call that was handed over to it
	measureGoHome                    // ... sent a moved caller home
	measureBackup                    // ... refused a caller whose local proxy is gone
	numMeasures
)

var measureWords = [numMeasures]string{"handed_over", "served_here", "refused", "drained", "overflow_refused", "go_home", "backup_refused"}

// shed takes a call that was admitted and that the proxy should not serve now; false: it goes on. Nothing of the call was
// copied yet, and its service is known. Loop only.
func (w *worker) shed(c *call, m *protocol.Message) bool {
	g := &w.p.guard
	if w.p.cfg.Accept != nil { // what it takes is its admission's business
		return w.full(c)
	}
	if c.d.handoff || c.cluster.Ordered || c.cluster.Name == w.p.cfg.Protection.Own {
		return false
	}
	if g.until.Load() > w.now {
		c.kept, c.keptCodec, c.returns = append(c.kept[:0], m.Frame...), c.d.codec, true
		if w.spillOver(c, m, protocol.CodeDraining) {
			w.measured(c, measureDrained)
			return true
		}
		c.returns = false // the grant is used up: served here
		return false
	}
	if pressure.Level(g.level.Load()) < pressure.HandOver || !c.src.spills(c.dry == nil) {
		return false
	}
	switch {
	case w.spillOver(c, m, protocol.CodeOverload):
		w.measured(c, measureHandedOver)
		return true
	case w.p.cfg.HandOff == nil && pressure.Level(g.level.Load()) < pressure.Refuse:
		return false
	case pressure.Level(g.level.Load()) < pressure.Refuse:
		w.measured(c, measureServed)
		return false
	}
	w.measured(c, measureRefused)
	w.fail(c, protocol.Fault{Code: protocol.CodeOverload, Message: "the proxy of this host has more calls than it can carry; this source has more than its share of them"})
	return true
}

// spills reports whether the next call of a source belongs to its excess: evenly spread, not drawn.
func (s *source) spills(counts bool) bool {
	n := uint64(s.excess.Load())
	if n == 0 {
		return false
	}
	at := s.spill.Load() + n
	if counts {
		at = s.spill.Add(n)
	}
	return at/spillOne != (at-n)/spillOne
}

// measured counts what was done, unless the call is only rehearsed.
func (w *worker) measured(c *call, m measure) {
	if c.dry == nil {
		w.stats.measures[m]++
	}
}

// spillOver hands a call over that could be served here as well: only where it can leave at once, or open the first connection.
func (w *worker) spillOver(c *call, m *protocol.Message, code protocol.Code) bool {
	if c.upload != nil || c.hops >= remote.MaxHops || !w.p.cfg.HandOff.HandsOff(code, c.cluster.MayRemote) {
		return false
	}
	home := c.cluster
	if c.dry != nil {
		c.wouldHandOver(code)
	}
	c.handed, c.spilled, c.tries, c.cluster = true, true, attempts{}, w.table.Remotes
	for c.tries.more() {
		ep := c.pick(w)
		if ep == nil {
			break
		}
		c.tries.offered(ep)
		if w.poolOf(c.cluster, ep).leaves(c, m) {
			if c.dry == nil {
				w.stats.handedOver[code]++
			}
			return true
		}
	}
	c.handed, c.spilled, c.tries, c.cluster = false, false, attempts{}, home
	return false
}

// comeBack serves a call here after all: the remote proxy that the host is drained to did not run it.
func (w *worker) comeBack(c *call) {
	w.stats.measures[measureServed]++
	c.handed, c.spilled, c.returns, c.tries, c.hops = false, false, false, attempts{}, remote.MaxHops // it goes nowhere else
	w.resubmit(c, c.keptCodec, c.kept)
}

// atOnce tells for what reasons calls are handed over only where they can leave at once. A call that waited for a remote proxy
// would still count here, so that a remote tier that is slower than this proxy would fill it with calls that wait.
func atOnce(code protocol.Code) bool {
	switch code {
	case protocol.CodeSourceCalls, protocol.CodeTotalCalls, protocol.CodeQueueFull, protocol.CodeLimit, protocol.CodeOverload,
		protocol.CodeSourceQueue, protocol.CodeDraining:
		return true
	}
	return false
}

// firstWaiting bounds the calls that wait for the first connection to a remote proxy instead of being served here.
const firstWaiting = 64

// leaves sends a call now, or has it wait for the first connection to be opened.
func (p *pool) leaves(c *call, m *protocol.Message) bool {
	first := len(p.open) == 0 && p.waiting() < firstWaiting
	if c.dry != nil {
		return (first || p.hasRoom()) && p.wouldTake(c) == protocol.CodeOK
	}
	if u := p.takeFor(c); u != nil {
		u.send(c, m)
		return true
	}
	return first && p.submit(c, m) == protocol.CodeOK
}

// full is a remote proxy's admission: what it can carry is kept for callers whose local proxy is gone first, then for those
// that were asked to move, then for what is handed over to it. Refusing must cost little: it comes before the call is copied
// or an endpoint is looked for.
func (w *worker) full(c *call) bool {
	g, d := &w.p.guard, c.d
	limit := float64(g.capacity.Load())
	if limit == 0 {
		return false
	}
	n, reserve := float64(w.p.inFlight.Load()), w.p.cfg.Protection.Reserve
	if c.cluster.Name == w.p.cfg.Protection.Own {
		return false
	}
	switch {
	case d.handoff:
		if n <= limit*(1-reserve) {
			return false
		}
		w.measured(c, measureOverflow)
		w.fail(c, protocol.Fault{Code: protocol.CodeOverload, Message: "the remote proxy is full: what it has left is for callers whose local proxy is gone"})
	case d.host != nil:
		if n <= limit*(1-reserve/2) {
			return false
		}
		w.goHome(c)
	default:
		if n <= limit || pressure.Level(g.level.Load()) < pressure.Refuse { // shrinking what the others get comes first
			return false
		}
		w.measured(c, measureBackup)
		w.fail(c, protocol.Fault{Code: protocol.CodeOverload, Message: "the remote proxy has more calls than it can carry"})
	}
	return true
}

// goHome sends a caller that was asked to move back to its local proxy.
func (w *worker) goHome(c *call) {
	w.measured(c, measureGoHome)
	w.fail(c, protocol.Fault{Code: protocol.CodeGoHome, Message: remote.GoHome + ": this host's grant is spent; use its local proxy"})
}

// hostUse is what moved callers of one host use of a remote proxy.
type hostUse struct {
	key   string
	refs  int // connections; under guard.mu
	calls atomic.Int64
}

// spent reports whether a moved caller's host has used up its grant. Moved calls spend the same grant as a hand-off connection
// of their host has.
func (d *downstream) spent() bool {
	return d.host != nil && d.host.calls.Load() > int64(d.w.p.guard.grant(d).Calls)
}

// setMoved takes note that a caller came because it was asked to (remote.MethodMoved). It gives it less than another caller, so
// it is believed.
func (d *downstream) setMoved(m *protocol.Message) {
	instance, err := remote.ParseMoved(m.Payload, m.Body)
	if err != nil || d.handoff || d.host != nil || d.inFlight > 0 { // its calls are counted from the first one on
		return
	}
	d.host = d.w.p.guard.join(instance)
}

// maxHosts bounds the hosts whose moved calls are told apart; the rest share one.
const maxHosts = 4096

func (g *guard) join(instance string) *hostUse {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.hosts) >= maxHosts && g.hosts[instance] == nil {
		instance = other
	}
	h := g.hosts[instance]
	if h == nil {
		h = &hostUse{key: instance}
		g.hosts[instance] = h
	}
	h.refs++
	return h
}

func (g *guard) leave(h *hostUse) {
	if h == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if h.refs--; h.refs == 0 {
		delete(g.hosts, h.key)
	}
}

// leastGrant is what a hand-off connection may always have in flight: with less it could not learn of a better grant.
const leastGrant = 4

// grant is what a connection is granted now: all of it while the proxy is not hard pressed; then what it uses, in proportion to
// what is left for all that is handed over, so that the hosts share it by demand.
func (g *guard) grant(d *downstream) remote.Grant {
	out := g.p.cfg.Accept.Grant
	ratio := g.ratio.Load()
	if ratio == 0 {
		return out
	}
	calls := int32(min(int64(max(d.peak, d.inFlight))*int64(ratio)/ratioOne, int64(out.Calls)))
	calls = max(calls, min(leastGrant, out.Calls))
	if out.Bytes > 0 {
		out.Bytes = max(1, out.Bytes*int64(calls)/int64(out.Calls))
	}
	out.Calls = calls
	return out
}

// DrainToRemote sends this host's calls to the remote tier for so long, as far as grants reach, and asks its sources to move; 0
// ends it. What the remote tier does not take is served here. Safe for concurrent use.
func (p *Proxy) DrainToRemote(d time.Duration) { p.drainToRemote(d, false) }

// DrainByRule is DrainToRemote for a rule, which does not end what a person has begun.
func (p *Proxy) DrainByRule(on bool) {
	if on {
		p.drainToRemote(byRuleFor, true)
	} else if p.guard.ruled() {
		p.drainToRemote(0, true)
	}
}

// byRuleFor is for as long as the rule stands.
const byRuleFor = 100 * 365 * 24 * time.Hour

func (p *Proxy) drainToRemote(d time.Duration, byRule bool) {
	g := &p.guard
	g.mu.Lock()
	until := int64(0)
	if d > 0 {
		until = p.clock() + int64(d)
	}
	was := g.until.Swap(until)
	g.byRule = byRule && d > 0
	g.mu.Unlock()
	if d > 0 {
		g.active.Store(true)
		p.cfg.Log.Warn("the host is drained to the remote tier", "for", d.String(), "by_rule", byRule, "next", "bellhop drain --cancel ends it")
	} else if was != 0 {
		p.cfg.Log.Info("the host is not drained to the remote tier any more")
	}
	g.asleep.Store(false)
	g.ring()
}

func (g *guard) ruled() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.byRule
}

// drainsToRemote ends a drain whose time is over. Under g.mu.
func (g *guard) drainsToRemote(now int64) bool {
	until := g.until.Load()
	if until == 0 {
		return false
	}
	if now < until {
		return true
	}
	g.until.Store(0)
	g.byRule = false
	g.p.cfg.Log.Info("the host is not drained to the remote tier any more", "why", "its time is over")
	return false
}
