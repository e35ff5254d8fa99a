package pressure

import (
	"math"
	"time"
)

// Capacity finds how many calls in flight a proxy can carry: it shrinks by a tenth while calls wait too long and grows a little
// while they do not and the room is used (AIMD, as Netflix's concurrency-limits has it; the congestion signal is the wait for a
// worker, as in DAGOR, not the time of a reply, which servers make). Not safe for concurrent use.
type Capacity struct {
	least, most float64
	now         float64
	last        time.Duration
}

// NewCapacity begins at most: nothing is limited before there is congestion.
func NewCapacity(least, most int) *Capacity {
	return &Capacity{least: float64(least), most: float64(most), now: float64(most)}
}

// Numbers of AIMD.
const (
	shrink      = 0.9
	grow        = 0.05 // of the present, each time, while at least half of it is used
	shrinkEvery = 100 * time.Millisecond
)

// Observe takes in whether there is congestion, and how many calls are in flight.
func (c *Capacity) Observe(now time.Duration, congested bool, inFlight int64) int {
	if now-c.last < shrinkEvery && c.last > 0 {
		return int(c.now)
	}
	c.last = now
	used := float64(inFlight)
	switch {
	case congested: // from what is there: a limit far above it limits nothing
		c.now = max(c.least, min(c.now, max(used, c.least))*shrink)
	case used*2 >= c.now:
		c.now = min(c.most, c.now+math.Max(1, c.now*grow))
	default: // room that nobody uses proves little: it comes back slowly
		c.now = min(c.most, c.now+math.Max(1, c.now*grow/5))
	}
	return int(c.now)
}

// Limited reports whether it is below its most.
func (c *Capacity) Limited() bool { return c.now < c.most }
