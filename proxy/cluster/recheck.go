package cluster

// This file is for whoever looks, off the path of calls, whether an endpoint can be reached again that was ejected because
// connecting failed. As long as somebody does, no call is its probe. All of it is safe for concurrent use.

// Await has no call go to the endpoint before Reached has said that it can be reached. false: it is not ejected for that,
// or somebody looks after it already.
func (e *Endpoint) Await() bool {
	h := e.held.Load()
	return h != nil && h.why.Reason == ReasonConnect && h.awaits.CompareAndSwap(false, true)
}

// Awaits returns when to look at the endpoint, worker clock, ns. false: nobody waits for that any more.
func (e *Endpoint) Awaits() (at int64, ok bool) {
	h := e.held.Load()
	if h == nil || !h.awaits.Load() {
		return 0, false
	}
	return h.until, true
}

// Reached says whether the endpoint could be reached. If not, it is ejected for longer; if so, a call is its probe.
func (e *Endpoint) Reached(ok bool, now int64) {
	h := e.held.Load()
	switch {
	case h == nil || !h.awaits.Load():
	case ok:
		h.awaits.Store(false)
	default:
		e.holdAs(h, h.again(now))
	}
}
