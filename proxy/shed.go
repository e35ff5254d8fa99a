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
	measureMoved                     // ... refused a call of one
	measureBackup                    // ... refused a caller whose local proxy is gone
	numMeasures
)

var measureWords = [numMeasures]string{"handed_over", "served_here", "refused", "drained", "overflow_refused", "go_home", "moved_refused", "backup_refused"}

// shed takes a call that rules let pass and that the proxy should not serve now; false: it goes on. Loop only.
func (w *worker) shed(c *call, m *protocol.Message) bool {
	g := &w.p.guard
	if w.p.cfg.Accept != nil || c.d == nil || c.d.handoff || c.handed || c.cluster.Ordered || c.cluster.Name == w.p.cfg.Protection.Own {
		return false
	}
	if g.until.Load() > w.now {
		if c.returns = true; m != &w.retry {
			c.kept, c.keptCodec = append(c.kept[:0], m.Frame...), c.d.codec
		}
		if w.sendAway(c, m, protocol.CodeDraining) {
			w.measured(c, measureDrained)
			return true
		}
		c.returns = false // the grant is used up: served here
		return false
	}
	if g.probing.Load() && w.now >= w.probeAt && w.probe(c, m) {
		return true
	}
	if pressure.Level(g.level.Load()) < pressure.HandOver || !c.src.spills(c.dry == nil) {
		return false
	}
	switch {
	case g.drop.Load() > 0: // handing it over costs as much as serving it, and the remote tier has no room
	case w.sendAway(c, m, protocol.CodeOverload):
		w.measured(c, measureHandedOver)
		return true
	case w.p.cfg.HandOff == nil && pressure.Level(g.level.Load()) < pressure.Refuse:
		return false
	case pressure.Level(g.level.Load()) < pressure.Refuse:
		w.measured(c, measureServed)
		return false
	}
	w.measured(c, measureRefused)
	f := protocol.Fault{Code: protocol.CodeOverload, Message: "the proxy of this host has more calls than it can carry; this source has more than its share of them"}
	if f.Final = g.full.Load(); f.Final { // a caller that tried there would only be refused once more
		f.Message = "the proxy of this host and the remote tier have more calls than they can carry"
	}
	w.fail(c, f)
	return true
}

// probeEvery is the time between two calls that a worker hands over to find out whether the remote tier has room, ns.
const probeEvery = int64(50e6)

// probe hands a call over to find out whether callers who are asked to move would find room. It is served here if they would not.
func (w *worker) probe(c *call, m *protocol.Message) bool {
	if c.dry != nil || c.oneway {
		return false
	}
	w.probeAt = w.now + probeEvery
	if c.returns, c.probe = true, true; m != &w.retry {
		c.kept, c.keptCodec = append(c.kept[:0], m.Frame...), c.d.codec
	}
	if w.sendAway(c, m, protocol.CodeOverload) {
		return true
	}
	c.returns, c.probe = false, false
	return false
}

// probed takes note of what the remote proxy said.
func (w *worker) probed(c *call, served bool) {
	c.probe = false
	if served {
		w.p.guard.taken.Add(1)
	} else {
		w.p.guard.refused.Add(1)
	}
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

// comeBack serves a call here after all: the remote proxy that the host is drained to did not run it.
func (w *worker) comeBack(c *call) {
	w.stats.measures[measureServed]++
	c.stays(nil)                              // resubmit looks it up
	c.returns, c.hops = false, remote.MaxHops // it goes nowhere else
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
		w.turnAway(c)
	default:
		if n <= limit || pressure.Level(g.level.Load()) < pressure.Refuse { // shrinking what the others get comes first
			return false
		}
		w.measured(c, measureBackup)
		w.fail(c, protocol.Fault{Code: protocol.CodeOverload, Message: "the remote proxy has more calls than it can carry"})
	}
	return true
}

// homeEvery is the shortest time between two moved callers that are sent home for want of room, ns: what the last one brought
// must have been measured. If all whose calls there is no room for were sent home at once, all would go.
const homeEvery = int64(500e6)

// turnAway refuses a call of a moved caller for want of room; now and then one such caller is sent home for good.
func (w *worker) turnAway(c *call) {
	last := &w.p.guard.sentHome
	if at := last.Load(); c.dry == nil && (at == 0 || w.now-at >= homeEvery) && last.CompareAndSwap(at, w.now) {
		w.measured(c, measureGoHome)
		w.fail(c, protocol.Fault{Code: protocol.CodeGoHome, Message: remote.GoHome + ": the remote proxy is full; use your host's local proxy"})
		return
	}
	w.measured(c, measureMoved)
	w.fail(c, protocol.Fault{Code: protocol.CodeOverload, Message: "the remote proxy is full"})
}

// hostUse is what one host uses of a remote proxy: what its local proxy hands over, and what its moved callers bring themselves.
type hostUse struct {
	key   string
	refs  int          // connections; under guard.mu
	hands atomic.Int64 // of them, hand-off connections
	calls atomic.Int64 // in flight
	moved atomic.Int64 // of them, those of moved callers
}

// grant is what the host may have in flight: what its hand-off connections were granted together, or one would be.
func (h *hostUse) grant(one int32) int64 { return int64(one) * max(1, h.hands.Load()) }

// spent reports whether a host has used up its grant: moved calls spend the same one as those that are handed over.
func (d *downstream) spent() bool {
	return d.host != nil && d.host.calls.Load() > d.host.grant(d.w.p.cfg.Accept.Grant.Calls)
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

func (g *guard) leave(d *downstream) {
	h := d.host
	if h == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if d.handoff {
		h.hands.Add(-1)
	}
	if h.refs--; h.refs == 0 {
		delete(g.hosts, h.key)
	}
}

// leastGrant is what a hand-off connection may always have in flight: with less it could not learn of a better grant.
const leastGrant = 4

// grant is what a hand-off connection is granted now: what moved callers of its host leave of it and, while the proxy is hard pressed, what it uses, in proportion to
// what is left for all that is handed over, so that the hosts share it by demand.
func (g *guard) grant(d *downstream) remote.Grant {
	out := g.p.cfg.Accept.Grant
	ratio := g.ratio.Load()
	moved := int64(0)
	if d.host != nil {
		moved = d.host.moved.Load() / max(1, d.host.hands.Load())
	}
	if ratio == 0 && moved == 0 {
		return out
	}
	calls := out.Calls - int32(min(moved, int64(out.Calls)))
	if ratio > 0 {
		calls = int32(min(int64(max(d.peak, d.inFlight))*int64(ratio)/ratioOne, int64(calls)))
	}
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
