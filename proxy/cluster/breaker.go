package cluster

import (
	"sync/atomic"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// This file is circuit breakers as rules want them. An endpoint's open breaker is a hold like an ejection (health.go): it
// needs no comparison, since an operator has said what is too much. A method's is a Breaker. Both count over all workers,
// with atomics: a count may be lost where two workers begin a slot of the window at once.

// slots are the parts that a window slides by.
const slots = 8

// window counts calls in a sliding window for one rule.
type window struct {
	rule  govern.Breaker
	next  *window // of another rule, for the same endpoint
	slots [slots]slot
}

type slot struct {
	epoch               atomic.Int64
	calls, failed, slow atomic.Uint32
}

// maxWindows bounds the rules that count for one endpoint at once: beyond, all begin anew.
const maxWindows = 16

// Took is how one call ended, as a breaker sees it.
type Took struct {
	Failed bool
	Sent   int64 // worker clock, ns
	Now    int64
}

// failed reports whether a class is a failure for a breaker. long: it was not given too little time. Connects that fail are
// not counted: such a call is unsent, and goes elsewhere.
func failed(class govern.Class, long bool) bool {
	switch class {
	case govern.ClassFailed, govern.ClassLost:
		return true
	case govern.ClassDeadline:
		return long
	default:
		return false
	}
}

// count counts a call and reports whether the rule has the breaker opened by it, with what was counted.
func (w *window) count(t *Took) (opens bool, calls, bad, slow uint32) {
	r := &w.rule
	epoch := t.Now/max(int64(r.Window)/slots, 1) + 1
	s := &w.slots[epoch%slots]
	if old := s.epoch.Load(); old != epoch && s.epoch.CompareAndSwap(old, epoch) {
		s.calls.Store(0)
		s.failed.Store(0)
		s.slow.Store(0)
	}
	s.calls.Add(1)
	isSlow := r.Slow > 0 && t.Now-t.Sent >= int64(r.Slow)
	if t.Failed {
		s.failed.Add(1)
	}
	if isSlow {
		s.slow.Add(1)
	}
	if !t.Failed && !isSlow {
		return false, 0, 0, 0
	}
	for i := range w.slots {
		if s := &w.slots[i]; epoch-s.epoch.Load() < slots {
			calls, bad, slow = calls+s.calls.Load(), bad+s.failed.Load(), slow+s.slow.Load()
		}
	}
	if calls < uint32(max(r.MinCalls, 1)) {
		return false, 0, 0, 0
	}
	opens = r.ErrorRate > 0 && bad > 0 && float64(bad) >= r.ErrorRate*float64(calls) ||
		r.SlowRate > 0 && slow > 0 && float64(slow) >= r.SlowRate*float64(calls)
	return opens, calls, bad, slow
}

// bad reports whether a probe ended so that the breaker stays open.
func (t *Took) bad(r *govern.Breaker) bool {
	return t.Failed || r.Slow > 0 && r.SlowRate > 0 && t.Now-t.Sent >= int64(r.Slow)
}

// took is what a breaker sees of an outcome.
func (o *Outcome) took() Took {
	long := o.Class != govern.ClassDeadline || o.Method.asLongAs(o.Now-o.Sent, int64(o.Cluster.Timeout))
	return Took{Failed: failed(o.Class, long), Sent: o.Sent, Now: o.Now}
}

// Trip counts a call for a breaker of endpoints and reports whether it opened the breaker of this one. Safe for concurrent
// use.
func (o *Outcome) Trip(r *govern.Breaker, name string) bool {
	e := o.Endpoint
	if _, held := e.halfOpen(o.Sent); held || len(o.Cluster.all) < 2 {
		return false
	}
	t := o.took()
	opens, calls, bad, slow := e.windowOf(r).count(&t)
	if !opens {
		return false
	}
	why := Why{Reason: ReasonBreaker, Rule: name, Method: string(o.MethodName), Calls: calls, Failed: bad, Slow: slow}
	if r.SlowRate > 0 {
		why.slowFrom = int64(r.Slow)
	}
	if !o.Cluster.holdWithin(e, o.Now, why, spanOf(r), r.Probes, r.MaxShare) {
		return false
	}
	e.trips.Store(nil)
	return true
}

func spanOf(r *govern.Breaker) span {
	return span{base: max(int64(r.OpenFor), 1), most: max(int64(r.MaxOpen), int64(r.OpenFor), 1)}
}

// windowOf finds or makes an endpoint's window for a rule.
func (e *Endpoint) windowOf(r *govern.Breaker) *window {
	for {
		first := e.trips.Load()
		n := 0
		for w := first; w != nil; w = w.next {
			if w.rule == *r {
				return w
			}
			n++
		}
		made := &window{rule: *r}
		if n < maxWindows {
			made.next = first
		}
		if e.trips.CompareAndSwap(first, made) {
			return made
		}
	}
}

// Breaker is the circuit breaker of one method, over all workers. The zero value is closed. Safe for concurrent use.
type Breaker struct {
	counts atomic.Pointer[window]
	held   atomic.Pointer[hold]
	past   atomic.Pointer[past]
	hand   atomic.Pointer[byHand]
}

// byHand is what somebody has said of a breaker, for a time.
type byHand struct {
	open  bool
	until int64
}

// Allow reports whether a call may go on. An open breaker lets some through when its time is over.
func (b *Breaker) Allow(now int64) bool {
	if h := b.hand.Load(); h != nil && now < h.until {
		return !h.open
	}
	h := b.held.Load()
	return h == nil || now >= h.until && h.grant(now)
}

// Would is Allow for whoever only asks: it lets nothing through.
func (b *Breaker) Would(now int64) bool {
	if h := b.hand.Load(); h != nil && now < h.until {
		return !h.open
	}
	h := b.held.Load()
	return h == nil || now >= h.until && h.would(now)
}

// Count counts a call that a rule's breaker has let through and reports whether it opened the breaker.
func (b *Breaker) Count(o *Outcome, r *govern.Breaker, name string) bool {
	t := o.took()
	if h := b.held.Load(); h != nil {
		return t.Sent >= h.until && b.probed(h, !t.bad(r), o.Now)
	}
	if h := b.hand.Load(); h != nil && o.Now < h.until {
		return false
	}
	w := b.counts.Load()
	if w == nil || w.rule != *r {
		made := &window{rule: *r}
		if !b.counts.CompareAndSwap(w, made) {
			return false // another worker's is there for the next one
		}
		w = made
	}
	opens, calls, bad, slow := w.count(&t)
	if !opens {
		return false
	}
	s := spanOf(r)
	times := b.past.Load().next(o.Now)
	h := &hold{
		why:   Why{Reason: ReasonBreaker, Rule: name, Method: string(o.MethodName), Calls: calls, Failed: bad, Slow: slow},
		since: o.Now, until: o.Now + s.length(times), times: times, span: s, probes: int32(max(r.Probes, 1)),
	}
	if !b.held.CompareAndSwap(nil, h) {
		return false
	}
	b.counts.Store(nil)
	return true
}

// probed takes note of how a probe ended and reports whether the breaker is open again by it.
func (b *Breaker) probed(h *hold, good bool, now int64) bool {
	if !good {
		return b.held.CompareAndSwap(h, h.again(now))
	}
	if h.good.Add(1) >= h.probes && b.held.CompareAndSwap(h, nil) {
		b.past.Store(h.over(now))
	}
	return false
}

// Set opens or closes the breaker by hand until a moment of the workers' clock. A close forgets what has opened it, and
// keeps it from opening until then.
func (b *Breaker) Set(open bool, until int64) {
	b.hand.Store(&byHand{open: open, until: until})
	if !open {
		b.held.Store(nil)
		b.past.Store(nil)
		b.counts.Store(nil)
	}
}

// Idle reports whether nothing is known of the breaker but counts.
func (b *Breaker) Idle(now int64) bool {
	h := b.hand.Load()
	return b.held.Load() == nil && (h == nil || now >= h.until)
}

// Health returns the breaker's state.
func (b *Breaker) Health(now int64) Health {
	if h := b.hand.Load(); h != nil && now < h.until {
		return Health{Held: h.open, Until: h.until, Why: Why{Reason: ReasonManual}, Kept: !h.open}
	}
	return healthOf(b.held.Load(), now)
}
