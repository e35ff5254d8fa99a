package cluster

import (
	"fmt"
	"math/rand/v2"
)

// Balancer is how one endpoint of a tier is chosen.
type Balancer uint8

// Balancers. LeastActive is the default.
const (
	LeastActive Balancer = iota
	RoundRobin
	Random
	P2C // power of two choices over peak-EWMA latency × calls in flight
)

// ParseBalancer turns a configured word into a Balancer; "" is least-active.
func ParseBalancer(word string) (Balancer, error) {
	switch word {
	case "", "least-active":
		return LeastActive, nil
	case "round-robin":
		return RoundRobin, nil
	case "random":
		return Random, nil
	case "p2c":
		return P2C, nil
	}
	return 0, fmt.Errorf("unknown balancer %q: use least-active, round-robin, random or p2c", word)
}

// String returns the word used in configuration and output.
func (b Balancer) String() string {
	return [...]string{"least-active", "round-robin", "random", "p2c"}[b&3]
}

// scanLimit bounds the endpoints that are looked at for one call. In a larger tier least-active compares this many from a
// random place on, and weighted round robin draws (tier.turn) instead of comparing all.
const scanLimit = 32

// maxDraws is how often an endpoint is drawn before all usable ones are counted: only where most are not usable.
const maxDraws = 8

// query is one choice. It lives on the stack of Pick.
type query struct {
	worker  int
	now     int64
	rnd     *rand.Rand
	tried   []*Endpoint
	warmFor int64 // how long an endpoint is new
	panic   bool  // what is known of failures is not looked at
	lenient bool  // neither is how new an endpoint is
	dry     bool  // the choice is only rehearsed: no probe is let through
	weighs  bool  // the balancer compares weights: one that is new has less of it, and is not passed over
}

// Pick chooses an endpoint for a call of this worker: a tier by nearness and health, then the balancer. An endpoint is
// usable when it is not among tried, not backing off after failed connects and not kept away from (health.go). When none
// is usable, the one that is due first is tried rather than none. nil: there is none at all. Loop only.
func (c *Cluster) Pick(worker int, now int64, rnd *rand.Rand, tried []*Endpoint) *Endpoint {
	if e := c.Usable(worker, now, rnd, tried); e != nil {
		return e
	}
	var soonest *Endpoint
	for _, e := range c.all {
		if !isTried(e, tried) && !e.shut(now) && (soonest == nil || e.States[worker].DownUntil < soonest.States[worker].DownUntil) {
			soonest = e
		}
	}
	return soonest
}

// Usable is Pick without the last resort. nil: no endpoint is usable. Loop only.
func (c *Cluster) Usable(worker int, now int64, rnd *rand.Rand, tried []*Endpoint) *Endpoint {
	if len(c.all) == 1 && len(tried) == 0 {
		if e := c.all[0]; e.special.Load() == 0 && e.States[worker].DownUntil <= now {
			return e
		}
	}
	s := &c.sick[worker]
	if now >= s.due {
		c.examine(s, worker, now)
	}
	q := query{worker: worker, now: now, rnd: rnd, tried: tried, warmFor: c.warmFor, dry: s.dry}
	if s.trouble {
		return c.pickSick(s, &q)
	}
	for i := range c.tiers {
		if e := c.pickTier(&c.tiers[i], &q); e != nil {
			return e
		}
	}
	return c.pickLenient(&q)
}

// pickLenient chooses among endpoints that are new, where there are no others.
func (c *Cluster) pickLenient(q *query) *Endpoint {
	q.lenient = true
	for i := range c.tiers {
		if e := c.pickTier(&c.tiers[i], q); e != nil {
			return e
		}
	}
	return nil
}

func (c *Cluster) pickTier(t *tier, q *query) *Endpoint {
	if len(t.all) == 1 {
		if t.all[0].plain(q) || t.all[0].look(q) != no {
			return t.all[0]
		}
		return nil
	}
	switch c.balancer {
	case RoundRobin:
		return c.roundRobin(t, q)
	case Random:
		e, _ := t.random(q, nil)
		return e
	case P2C:
		return t.twoChoices(q)
	default:
		return c.leastActive(t.all, q)
	}
}

// twoChoices draws two different endpoints and takes the one that costs less.
func (t *tier) twoChoices(q *query) *Endpoint {
	a, v := t.random(q, nil)
	if a == nil || v == take {
		return a
	}
	b, v := t.random(q, a)
	if b != nil && (v == take || b.States[q.worker].cost(q.now) < a.States[q.worker].cost(q.now)) {
		return b
	}
	return a
}

// leastActive compares calls in flight per weight, beginning at a rotating place so that ties take turns.
func (c *Cluster) leastActive(all []*Endpoint, q *query) *Endpoint {
	worker := q.worker
	n, at := len(all), int(c.cursor[worker]%uint32(len(all)))
	c.cursor[worker]++
	if n > scanLimit {
		at = q.rnd.IntN(n)
	}
	var best *Endpoint
	bestWeight, bestActive := 0, 0
	q.weighs = true
	for i := range n {
		e := all[at]
		if at++; at == n {
			at = 0
		}
		weight := e.Weight << 8
		if !e.plain(q) {
			switch e.look(q) {
			case no:
				continue
			case take:
				return e
			}
			weight = e.weightInTurn(q, i == 0)
		}
		if active := e.States[worker].Active + 1; active*bestWeight < bestActive*weight || best == nil {
			best, bestWeight, bestActive = e, weight, active
		}
		if i >= scanLimit {
			break
		}
	}
	return best
}

// roundRobin is a plain turn for equal weights, smooth weighted round robin (as nginx documents it) for few endpoints, and
// tier.turn for many.
func (c *Cluster) roundRobin(t *tier, q *query) *Endpoint {
	if t.upTo == nil || len(t.all) > scanLimit {
		for range min(len(t.all), scanLimit) {
			e := t.turn(c.cursor[q.worker])
			c.cursor[q.worker]++
			if e.plain(q) || e.look(q) != no {
				return e
			}
		}
		return t.counted(q, q.rnd.Uint64(), nil)
	}
	var best *Endpoint
	total := 0
	for _, e := range t.all {
		if !e.plain(q) {
			switch e.look(q) {
			case no:
				continue
			case take:
				return e
			}
		}
		s := &e.States[q.worker]
		s.current += int32(e.Weight)
		total += e.Weight
		if best == nil || s.current > best.States[q.worker].current {
			best = e
		}
	}
	if best != nil {
		best.States[q.worker].current -= int32(total)
	}
	return best
}

func isTried(e *Endpoint, tried []*Endpoint) bool {
	for _, t := range tried {
		if t == e {
			return true
		}
	}
	return false
}

// Connect back-off: doubles from 100 ms to 1 s while connects keep failing.
const (
	backoffMin = int64(100e6)
	backoffMax = int64(1e9)
)

// ConnectFailed makes the endpoint unusable for a while. Connects that were under way together and fail together are one
// failure. Loop only.
func (s *State) ConnectFailed(now int64) {
	if s.DownUntil > now {
		return
	}
	d := backoffMin << min(s.Failures, 4)
	s.Failures++
	s.DownUntil = now + min(d, backoffMax)
}

// Connected ends the back-off. Loop only.
func (s *State) Connected() { s.Failures, s.DownUntil = 0, 0 }
