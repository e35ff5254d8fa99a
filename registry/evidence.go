package registry

import (
	"math/rand/v2"
	"slices"
	"time"
)

// This file looks after what is held: it asks for evidence until there is enough to let an endpoint go, or to stop
// asking.
//
//	keep ─► looks ─┬─ a call succeeded ──────────────────────────► looks, when that is old
//	               ├─ the hold is over, the source confirms ─────► gone
//	               └─ else ─► waiting ─► probe ─┬─ answers ──────► looks
//	                             ▲              ├─ fails twice ──► gone
//	                             └── again ◄────┴─ fails once

// The times that nobody needs to set.
const (
	recentCall = 10 * time.Second // a call that succeeded so lately is better than a probe
	firstLook  = time.Second      // an endpoint is looked at this long after it was held, at most
	lookEvery  = 2 * time.Second  // and again after this to twice this
	askAgain   = time.Second / 2  // after a failed probe, likewise
	deadAfter  = 2                // failed probes in a row
)

// watch is everything that is held, and the probes that are under way. Run only, but for what a probe's own goroutine
// does.
type watch struct {
	cfg     *ManagerConfig
	stats   *counters
	journal *journal
	byAddr  map[string][]*hold
	count   int
	changed bool // since the last snapshot

	looks   queue // to be looked at when they are due
	again   queue // to be probed: those that failed once
	waiting queue // to be probed: the others
	prober
}

// keep begins to hold h. since and why are set.
func (w *watch) keep(h *hold, settings *Service, now time.Time) {
	hs := h.part.held[h.service]
	if hs == nil {
		hs = &heldService{holds: make(map[string]*hold)}
		h.part.held[h.service] = hs
	}
	hs.settings = settings
	hs.holds[h.endpoint.Addr], hs.fresh = h, false
	h.until = h.since.Add(w.cfg.HoldRemoved)
	w.byAddr[h.endpoint.Addr] = append(w.byAddr[h.endpoint.Addr], h)
	w.count++
	w.changed, h.part.stale = true, true
	w.plan(h, now, now.Add(rand.N(firstLook)))
}

// release ends a hold.
func (w *watch) release(h *hold, what decision) {
	w.journal.note(what, h.part.name, h.service, h.endpoint.Addr)
	w.drop(h)
	hs := h.part.held[h.service]
	delete(hs.holds, h.endpoint.Addr)
	if hs.fresh = false; len(hs.holds) == 0 {
		delete(h.part.held, h.service)
	}
}

func (w *watch) drop(h *hold) {
	h.over = true
	if h.queue != nil {
		h.queue.remove(h)
	}
	addr := h.endpoint.Addr
	left := slices.DeleteFunc(w.byAddr[addr], func(x *hold) bool { return x == h })
	if w.byAddr[addr] = left; len(left) == 0 {
		delete(w.byAddr, addr)
	}
	w.count--
	w.changed, h.part.stale = true, true
}

// heldAt returns what is held of an address; the slice stays as it is when holds end.
func (w *watch) heldAt(addr string) []*hold { return slices.Clone(w.byAddr[addr]) }

// plan has h looked at. Whatever is planned, the end of the hold is not missed, nor the confirmation after it.
func (w *watch) plan(h *hold, now, at time.Time) {
	limit := h.until
	switch {
	case !now.Before(h.until):
		limit = now.Add(jittered(lookEvery))
	case !w.canProbe(h): // nothing to find out before
		at = h.until
	}
	if limit.Before(at) {
		at = limit
	}
	h.due = at
	w.looks.add(h)
}

// jittered returns between d and twice d.
func jittered(d time.Duration) time.Duration { return d + rand.N(d) }

// settled looks at h, and reports whether that was enough: if not, it has to be probed.
func (w *watch) settled(h *hold, now time.Time) bool {
	over, called := !now.Before(h.until), w.lastCall(h, now)
	switch {
	case over && h.part.confirms(h):
		w.release(h, confirmed)
	case over && h.endpoint.Owner != "" && called.IsZero():
		w.release(h, unproven)
	case !called.IsZero():
		h.failures = 0
		w.stats.probesSkipped.Add(1)
		w.plan(h, now, called.Add(recentCall))
	case !w.canProbe(h):
		w.plan(h, now, now.Add(jittered(lookEvery)))
	default:
		return false
	}
	return true
}

// lastCall returns when a call last succeeded there; zero: too long ago.
func (w *watch) lastCall(h *hold, now time.Time) time.Time {
	if w.cfg.LastSuccess == nil {
		return time.Time{}
	}
	t := w.cfg.LastSuccess(h.service, h.endpoint.Addr)
	if !t.After(now.Add(-recentCall)) {
		return time.Time{}
	}
	return t
}

// await has h probed as soon as there is room.
func (w *watch) await(h *hold, now time.Time) {
	h.due = now
	if h.failures > 0 {
		w.again.add(h)
	} else {
		w.waiting.add(h)
	}
}

// judge takes the result of a probe.
func (w *watch) judge(r result, now time.Time) {
	w.probing--
	h := r.hold
	if h.over {
		return
	}
	switch {
	case r.err == nil:
		w.stats.probesOK.Add(1)
		h.failures = 0
		w.plan(h, now, now.Add(jittered(lookEvery)))
	case noEvidence(r.err):
		w.stats.probesVoid.Add(1)
		w.plan(h, now, now.Add(jittered(lookEvery)))
	default:
		w.stats.probesFailed.Add(1)
		if h.failures++; h.failures >= deadAfter {
			w.release(h, failedProbes)
			return
		}
		w.plan(h, now, now.Add(jittered(askAgain)))
	}
}
