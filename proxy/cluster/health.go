package cluster

import (
	"math"
	"sync/atomic"
)

// This file is what is known of an endpoint's health over all workers: whether it is kept away from, why and until when,
// and whether it is new. An endpoint of which nothing is to be said costs one load and one comparison.
//
//	in use ─► held (until) ─► half open: some calls go there ─┬─ all end well: in use, as a new one (slow start)
//	   ▲                          ▲                           └─ one does not: held again, twice as long
//	   └── warm (warmFor) ◄───────┘

// Reason is why an endpoint is kept away from.
type Reason uint8

// The reasons.
const (
	ReasonNone    Reason = iota
	ReasonErrors         // it fails calls that its siblings do not fail
	ReasonSlow           // it is much slower than its siblings
	ReasonConnect        // connecting fails, again and again
	ReasonBreaker        // its circuit breaker is open
	ReasonManual         // somebody said so
	NumReasons    = int(ReasonManual) + 1
)

var reasonWords = [NumReasons]string{"none", "errors", "slow", "connect", "breaker", "manual"}

// String returns the word used in metrics and output.
func (r Reason) String() string {
	if int(r) < NumReasons {
		return reasonWords[r]
	}
	return "invalid"
}

// special says what a look at an endpoint has to take into account.
const (
	isHeld uint32 = 1 << iota
	isWarm
	isSuspect
)

// hold is one time of keeping away. Immutable, but for its probes.
type hold struct {
	why    Why
	since  int64 // worker clock, ns
	until  int64 // forever: until somebody says otherwise
	times  int   // in a row
	span   span
	probes int32 // calls that have to end well when it is half open

	awaits    atomic.Bool // no call is a probe before somebody has reached it (Await)
	granted   atomic.Int32
	grantedAt atomic.Int64
	good      atomic.Int32
}

const forever = int64(math.MaxInt64)

// span is how long an endpoint is kept away from: base, twice as long each time in a row, most at most. In ns.
type span struct{ base, most int64 }

func (s span) length(times int) int64 {
	n := s.base
	for ; times > 1 && n < s.most; times-- {
		n *= 2
	}
	return max(min(n, s.most), 1)
}

// past is what is remembered of holds that are over.
type past struct {
	times  int
	length int64
	ended  int64
}

// next is how many times in a row a hold that begins now would make: each time as long in good health as the last hold was
// takes one back.
func (p *past) next(now int64) int {
	if p == nil {
		return 1
	}
	return 1 + max(p.times-int(min((now-p.ended)/p.length, int64(p.times))), 0)
}

// again is the hold that follows a probe that did not end well.
func (h *hold) again(now int64) *hold {
	next := &hold{why: h.why, since: now, until: now + h.span.length(h.times+1), times: h.times + 1, span: h.span, probes: h.probes}
	next.awaits.Store(h.awaits.Load())
	return next
}

func (h *hold) over(now int64) *past {
	return &past{times: h.times, length: h.span.length(h.times), ended: now}
}

// health is an endpoint's, over all workers. Safe for concurrent use.
type health struct {
	special atomic.Uint32
	held    atomic.Pointer[hold]
	warm    atomic.Int64  // since when it is new, worker clock; begins: it is not known when yet
	era     atomic.Uint32 // changes when what was seen before is not to count any more
	past    atomic.Pointer[past]
	suspect atomic.Int64 // worker clock, ns: until then some calls go to siblings, to compare
	spared  atomic.Int64 // worker clock, ns: not held before, by hand
	said    atomic.Pointer[complaint]
	trips   atomic.Pointer[window]
}

// begins marks an endpoint that is new, and that nobody has looked at.
const begins = int64(-1)

// usualWarm is how long an endpoint is new when it is back and its service has no slow start, in ns.
const usualWarm = int64(10e9)

// leastWarm is the share of its weight that a new endpoint begins with.
const leastWarm = 0.1

// patience is how long a half-open endpoint waits for its probes to end before others are let through, in ns.
const patience = int64(5e9)

// verdict is what a look at an endpoint says.
type verdict uint8

const (
	no   verdict = iota
	yes          // it may be chosen
	take         // it has to be: it is half open, and this call is its probe
)

// plain reports whether an endpoint may be chosen without a further look, which is usual. It is inlined. Loop only.
func (e *Endpoint) plain(q *query) bool {
	return len(q.tried) == 0 && e.special.Load() == 0 && e.States[q.worker].DownUntil <= q.now
}

// look reports whether an endpoint may be chosen. Loop only.
func (e *Endpoint) look(q *query) verdict {
	if e.States[q.worker].DownUntil > q.now || isTried(e, q.tried) {
		return no
	}
	if e.special.Load() == 0 {
		return yes
	}
	if h := e.held.Load(); h != nil {
		switch {
		case h.why.Reason == ReasonManual:
			if q.now < h.until {
				return no
			}
			e.release(h, q.now)
		case q.panic:
			return yes
		case q.now < h.until || h.awaits.Load() || !h.lets(q):
			return no
		default:
			return take
		}
	}
	if !q.lenient && !q.panic && e.elsewhere(q) {
		return no
	}
	if q.lenient || q.panic || q.weighs {
		return yes
	}
	if w := e.warmth(q.now, q.warmFor); w < 1 && q.rnd.Float64() >= w {
		return no
	}
	return yes
}

// Of the calls that would come to an endpoint which fails, and whose siblings have had no calls to compare, so many go to a
// sibling, for so long, in ns: those that are nearest have every call as long as they seem well.
const (
	suspectShare = 0.25
	suspectFor   = int64(2e9)
)

// suspects has some calls go to siblings.
func (e *Endpoint) suspects(now int64) {
	e.suspect.Store(now + suspectFor)
	e.special.Or(isSuspect)
}

// elsewhere reports whether a call goes to a sibling for that reason.
func (e *Endpoint) elsewhere(q *query) bool {
	if e.special.Load()&isSuspect == 0 {
		return false
	}
	if q.now >= e.suspect.Load() {
		e.special.And(^isSuspect)
		return false
	}
	return q.rnd.Float64() < suspectShare
}

// weightNow is the weight in 1/256 that an endpoint has in a choice by count; 0: it may not be chosen. It lets no probe
// through.
func (e *Endpoint) weightNow(q *query) int {
	if e.States[q.worker].DownUntil > q.now || isTried(e, q.tried) {
		return 0
	}
	if e.special.Load() == 0 {
		return e.Weight << 8
	}
	if !q.panic && !e.free(q.now) || e.shut(q.now) {
		return 0
	}
	if q.lenient || q.panic {
		return e.Weight << 8
	}
	return max(int(float64(e.Weight<<8)*e.warmth(q.now, q.warmFor)), 1)
}

// weightInTurn is weightNow of an endpoint that may be chosen, for a balancer that compares calls in flight. Without load
// they are equal, and one that is new would wait until it is not: in its turn it has its full weight, as often as it has
// warmth.
func (e *Endpoint) weightInTurn(q *query, turn bool) int {
	if q.lenient || q.panic || e.special.Load()&isWarm == 0 {
		return e.Weight << 8
	}
	w := e.warmth(q.now, q.warmFor)
	if turn && w < 1 && q.rnd.Float64() < w {
		w = 1
	}
	return max(int(float64(e.Weight<<8)*w), 1)
}

// shut reports whether somebody has closed the endpoint by hand: that holds whatever the others do.
func (e *Endpoint) shut(now int64) bool {
	h := e.held.Load()
	return h != nil && h.why.Reason == ReasonManual && now < h.until
}

// Admits reports whether the endpoint may go on serving who has it already: it is not backing off, and not kept away
// from. Loop only.
func (e *Endpoint) Admits(worker int, now int64) bool {
	return e.States[worker].DownUntil <= now && (e.special.Load()&isHeld == 0 || e.free(now))
}

// free reports whether nothing holds the endpoint. What somebody has said by hand may be over without a look at it since.
func (e *Endpoint) free(now int64) bool {
	h := e.held.Load()
	return h == nil || h.why.Reason == ReasonManual && now >= h.until
}

// healthy is Admits for whoever counts: an endpoint that is new is healthy.
func (e *Endpoint) healthy(worker int, now int64) bool { return e.Admits(worker, now) }

// warmth is the share of its weight that an endpoint has now, 0.1…1: it grows evenly.
func (e *Endpoint) warmth(now, warmFor int64) float64 {
	since := e.warm.Load()
	if since == 0 {
		return 1
	}
	if since == begins {
		e.warm.CompareAndSwap(begins, max(now, 1))
		return leastWarm
	}
	w := float64(now-since) / float64(warmFor)
	if w < 1 {
		return max(w, leastWarm)
	}
	if e.warm.CompareAndSwap(since, 0) {
		e.special.And(^isWarm)
		if e.warm.Load() != 0 { // it has just begun again
			e.special.Or(isWarm)
		}
	}
	return 1
}

// enterNew makes an endpoint that is new in a table begin slowly. Before it is in use only.
func (e *Endpoint) enterNew() {
	e.warm.Store(begins)
	e.special.Or(isWarm)
}

// lets is grant, unless the choice is only rehearsed.
func (h *hold) lets(q *query) bool {
	if q.dry {
		return h.would(q.now)
	}
	return h.grant(q.now)
}

// would reports what grant would say.
func (h *hold) would(now int64) bool {
	return h.granted.Load() < h.probes || now-h.grantedAt.Load() >= patience
}

// grant lets one call through to a half-open endpoint, as long as fewer are on their way than have to end well.
func (h *hold) grant(now int64) bool {
	n, at := h.granted.Load(), h.grantedAt.Load()
	if n >= h.probes {
		if now-at < patience || !h.grantedAt.CompareAndSwap(at, now) {
			return false
		}
		h.good.Store(0) // of those before nothing was heard
		h.granted.Store(1)
		return true
	}
	if !h.granted.CompareAndSwap(n, n+1) {
		return false
	}
	h.grantedAt.Store(now)
	return true
}

// hold keeps calls away from an endpoint. false: it is held already, or was by another worker. Safe for concurrent use.
func (e *Endpoint) hold(now int64, why Why, s span, probes int) bool {
	if now < e.spared.Load() {
		return false
	}
	times := e.past.Load().next(now)
	h := &hold{why: why, since: now, until: now + s.length(times), times: times, span: s, probes: int32(max(probes, 1))}
	return e.holdAs(nil, h)
}

func (e *Endpoint) holdAs(old, h *hold) bool {
	if !e.held.CompareAndSwap(old, h) {
		return false
	}
	e.special.Or(isHeld)
	e.era.Add(1)
	return true
}

// release ends a hold: the endpoint is in use again, as a new one.
func (e *Endpoint) release(h *hold, now int64) {
	if !e.held.CompareAndSwap(h, nil) {
		return
	}
	e.past.Store(h.over(now))
	e.warm.Store(max(now, 1))
	e.special.Or(isWarm)
	e.special.And(^isHeld)
	if e.held.Load() != nil { // it has just begun again
		e.special.Or(isHeld)
	}
	e.era.Add(1)
}

// undo takes a hold back that should not have been.
func (e *Endpoint) undo(h *hold) {
	if e.held.CompareAndSwap(h, nil) {
		e.special.And(^isHeld)
		if e.held.Load() != nil {
			e.special.Or(isHeld)
		}
	}
}

// probed takes note of how a call ended that was sent when the endpoint was half open.
func (e *Endpoint) probed(h *hold, good bool, now int64) {
	if good {
		if h.good.Add(1) >= h.probes {
			e.release(h, now)
		}
		return
	}
	e.holdAs(h, h.again(now))
}

// halfOpen returns the hold that a call was a probe of; nil: none. held: the endpoint is kept away from, and what is
// known of the call says nothing new.
func (e *Endpoint) halfOpen(sent int64) (h *hold, held bool) {
	if e.special.Load()&isHeld == 0 {
		return nil, false
	}
	if h = e.held.Load(); h == nil {
		return nil, false
	}
	if h.why.Reason == ReasonManual || sent < h.until {
		return nil, true
	}
	return h, true
}
