package cluster

import "math"

// This file tells of health whoever asks, and takes what is said by hand. All of it is safe for concurrent use.

// Health is what is known of an endpoint, or of a method's breaker. Times are of the workers' clock, in ns.
type Health struct {
	Held     bool    // calls are kept away
	HalfOpen bool    // some are let through, to see
	Kept     bool    // in use by hand, until Until
	Since    int64   // of Held
	Until    int64   // when some calls are let through; math.MaxInt64: when somebody says so
	Times    int     // in a row
	Share    float64 // of its weight that it has; 1 unless it is new or just back
	Why      Why     // the evidence; Reason is ReasonNone while it is not held
}

// Health returns what is known of the endpoint. warmFor is its cluster's.
func (c *Cluster) Health(e *Endpoint, now int64) Health {
	h := healthOf(e.held.Load(), now)
	if s := e.spared.Load(); !h.Held && now < s {
		h.Kept, h.Until = true, s
	}
	if since := e.warm.Load(); since != 0 && c.warmFor > 0 {
		h.Share = min(max(float64(now-max(since, 0))/float64(c.warmFor), leastWarm), 1)
		if since == begins {
			h.Share = leastWarm
		}
	}
	return h
}

func healthOf(h *hold, now int64) Health {
	if h == nil || h.why.Reason == ReasonManual && now >= h.until {
		return Health{Share: 1}
	}
	return Health{Held: true, HalfOpen: now >= h.until, Since: h.since, Until: h.until, Times: h.times, Share: 1, Why: h.why}
}

// Set opens an endpoint's breaker by hand: no call goes there until a moment of the workers' clock, not even where it is the
// only one. Or it closes it: what calls were kept away for is forgotten, and they are not kept away again until then.
func (e *Endpoint) Set(open bool, now, until int64) {
	for {
		h := e.held.Load()
		if open {
			e.spared.Store(0)
			if e.holdAs(h, &hold{why: Why{Reason: ReasonManual}, since: now, until: until, times: 1, span: span{1, 1}, probes: 1}) {
				return
			}
			continue
		}
		e.spared.Store(until)
		if h != nil {
			e.release(h, now)
		}
		e.past.Store(nil)
		e.trips.Store(nil)
		if e.held.Load() == nil {
			return
		}
	}
}

// Forever is the moment of the workers' clock that does not come.
const Forever = int64(math.MaxInt64)

// TierView is one tier as one worker sees it.
type TierView struct {
	Near      string // host, zone or far
	Endpoints []*Endpoint
	Healthy   float64 // share of the endpoints
	Share     float64 // of the calls that it would have
}

// Tiers returns the tiers, nearest first, with the shares of calls that this worker would give them, and whether it does
// not look at health because too few endpoints are healthy. Loop only; it moves nothing.
func (c *Cluster) Tiers(worker int, now int64) (tiers []TierView, panicking bool) {
	var s sickness
	c.examine(&s, worker, now)
	for i := range c.tiers {
		t := TierView{
			Near: nearWords[c.tiers[i].all[0].near], Endpoints: c.tiers[i].all, Healthy: float64(s.healthy[i]), Share: float64(s.share[i]),
		}
		if !s.trouble || s.panic {
			t.Share = 0
			if i == 0 {
				t.Share = 1
			}
		}
		tiers = append(tiers, t)
	}
	return tiers, s.panic
}

var nearWords = [maxTiers]string{"host", "zone", "far"}
