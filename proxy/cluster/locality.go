package cluster

// This file shares calls among tiers by how healthy they are.
//
//	all is well ─► the nearest tier
//	a part is not ─► near tier: min(1, healthy share × spill) of the calls; the rest goes to the next ones likewise
//	less than panic of all endpoints is healthy ─► health is not looked at

// usualSpill is Envoy's overprovisioning factor: a tier has all calls until less than 1/1.4 = 71 % of it is healthy
// (envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/priority, "Priority levels": "The health
// score of a level is (percent of healthy hosts in the level) × (overprovisioning factor), capped at 100 %", and levels
// below have what is left, in proportion where there is not enough of them).
const usualSpill = 1.4

// usualPanic is less than what may be ejected by default leaves of three endpoints or more.
const usualPanic = 0.3

// Bounds of one examination of a worker: how often, in ns, and of how many endpoints of one tier; more are looked at in
// part.
const (
	examineEvery = int64(50e6)
	examineMost  = 1024
)

// maxTiers is same host, same zone, the rest.
const maxTiers = 3

// sickness is what a worker knows of the health of a cluster's tiers. Loop only. It fills a cache line.
type sickness struct {
	due     int64 // worker clock: examined again then
	trouble bool  // some endpoint is not healthy
	panic   bool
	dry     bool              // choices are only rehearsed
	share   [maxTiers]float32 // of the calls
	healthy [maxTiers]float32 // of the endpoints
	_       [16]byte
}

// examine looks at the endpoints' health.
func (c *Cluster) examine(s *sickness, worker int, now int64) {
	s.due = now + examineEvery
	s.trouble, s.panic = false, false
	well, all := 0.0, 0
	for i := range c.tiers {
		t := &c.tiers[i]
		h := t.healthy(worker, now, int(c.cursor[worker]))
		s.healthy[i] = float32(h)
		well += h * float64(len(t.all))
		all += len(t.all)
		s.trouble = s.trouble || h < 1
	}
	if !s.trouble {
		return
	}
	s.panic = c.panicAt > 0 && well < c.panicAt*float64(all)
	s.share = spillShares(s.healthy, len(c.tiers), c.spill)
}

// healthy is the share of healthy endpoints; in a large tier that of some of them.
func (t *tier) healthy(worker int, now int64, from int) float64 {
	n := len(t.all)
	looks, step, at := n, 1, 0
	if n > examineMost {
		looks, step, at = examineMost, n/examineMost, from%n
	}
	well := 0
	for range looks {
		if t.all[at].healthy(worker, now) {
			well++
		}
		if at += step; at >= n {
			at -= n
		}
	}
	return float64(well) / float64(looks)
}

// spillShares is the share of the calls that each tier has. spill 0: the first that has a healthy endpoint has all.
func spillShares(healthy [maxTiers]float32, tiers int, spill float64) (out [maxTiers]float32) {
	var score [maxTiers]float64
	total := 0.0
	for i := range tiers {
		score[i] = min(1, float64(healthy[i])*spill)
		if spill <= 0 && healthy[i] > 0 {
			score[i] = 1
		}
		total += score[i]
	}
	if total == 0 {
		return out
	}
	left := 1.0
	for i := range tiers {
		share := min(left, score[i]/min(1, total))
		out[i] = float32(share)
		left -= share
	}
	return out
}

// pickSick chooses while some endpoint is not healthy.
func (c *Cluster) pickSick(s *sickness, q *query) *Endpoint {
	if q.panic = s.panic; !s.panic && len(c.tiers) > 1 {
		u := q.rnd.Float32()
		for i := range c.tiers {
			if u -= s.share[i]; u < 0 {
				if e := c.pickTier(&c.tiers[i], q); e != nil {
					return e
				}
				break
			}
		}
	}
	for i := range c.tiers {
		if e := c.pickTier(&c.tiers[i], q); e != nil {
			return e
		}
	}
	return c.pickLenient(q)
}
