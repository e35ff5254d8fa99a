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

// Pick chooses an endpoint for a call of this worker: the first tier that has a usable one, then the balancer. An
// endpoint is usable when it is not among tried and not backing off after failed connects. When every endpoint is
// backing off, the one that is due first is tried rather than none. nil: there is none at all. Loop only.
func (c *Cluster) Pick(worker int, now int64, rnd *rand.Rand, tried []*Endpoint) *Endpoint {
	for i := range c.tiers {
		if e := c.pickTier(&c.tiers[i], worker, now, rnd, tried); e != nil {
			return e
		}
	}
	var soonest *Endpoint
	for _, e := range c.all {
		if !isTried(e, tried) && (soonest == nil || e.States[worker].DownUntil < soonest.States[worker].DownUntil) {
			soonest = e
		}
	}
	return soonest
}

func (c *Cluster) pickTier(t *tier, worker int, now int64, rnd *rand.Rand, tried []*Endpoint) *Endpoint {
	if len(t.all) == 1 {
		if usable(t.all[0], worker, now, tried) {
			return t.all[0]
		}
		return nil
	}
	switch c.balancer {
	case RoundRobin:
		return c.roundRobin(t, worker, now, tried)
	case Random:
		return t.random(worker, now, rnd, tried)
	case P2C:
		a, b := t.random(worker, now, rnd, tried), t.random(worker, now, rnd, tried)
		if a == nil || b != nil && b.States[worker].cost() < a.States[worker].cost() {
			return b
		}
		return a
	default:
		return c.leastActive(t.all, worker, now, rnd, tried)
	}
}

// leastActive compares calls in flight per weight, beginning at a rotating place so that ties take turns.
func (c *Cluster) leastActive(all []*Endpoint, worker int, now int64, rnd *rand.Rand, tried []*Endpoint) *Endpoint {
	n, at := len(all), int(c.cursor[worker]%uint32(len(all)))
	c.cursor[worker]++
	if n > scanLimit {
		at = rnd.IntN(n)
	}
	var best *Endpoint
	for i := range n {
		e := all[at]
		if at++; at == n {
			at = 0
		}
		if !usable(e, worker, now, tried) {
			continue
		}
		if best == nil || (e.States[worker].Active+1)*best.Weight < (best.States[worker].Active+1)*e.Weight {
			best = e
		}
		if i >= scanLimit {
			break
		}
	}
	return best
}

// roundRobin is a plain turn for equal weights, smooth weighted round robin (as nginx documents it) for few endpoints, and
// tier.turn for many.
func (c *Cluster) roundRobin(t *tier, worker int, now int64, tried []*Endpoint) *Endpoint {
	if t.upTo == nil || len(t.all) > scanLimit {
		for range t.all {
			e := t.turn(c.cursor[worker])
			c.cursor[worker]++
			if usable(e, worker, now, tried) {
				return e
			}
		}
		return t.counted(worker, now, 0, tried)
	}
	var best *Endpoint
	total := 0
	for _, e := range t.all {
		if !usable(e, worker, now, tried) {
			continue
		}
		s := &e.States[worker]
		s.current += e.Weight
		total += e.Weight
		if best == nil || s.current > best.States[worker].current {
			best = e
		}
	}
	if best != nil {
		best.States[worker].current -= total
	}
	return best
}

func usable(e *Endpoint, worker int, now int64, tried []*Endpoint) bool {
	return e.States[worker].DownUntil <= now && !isTried(e, tried)
}

func isTried(e *Endpoint, tried []*Endpoint) bool {
	for _, t := range tried {
		if t == e {
			return true
		}
	}
	return false
}

func (s *State) cost() float64 { return (s.Latency + 1e3) * float64(s.Active+1) }

// Observe records a reply time in ns: peaks count at once, lower values decay in (peak EWMA). Loop only.
func (s *State) Observe(ns int64) {
	v := float64(ns)
	if v > s.Latency {
		s.Latency = v
		return
	}
	s.Latency += (v - s.Latency) / 16
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
