package pressure

import (
	"math"
	"time"
)

// Capacity finds how many calls in flight a proxy can carry: it shrinks by a tenth while calls wait too long and grows a little
// while they do not and the room is used (AIMD, as Netflix's concurrency-limits has it; the congestion signal is the wait for a
// worker, as in DAGOR, not the time of a reply, which servers make). Up to where it was carried before it comes back quickly, as
// a TCP window does below its threshold: what was congested for a moment must not be empty for many seconds. Not safe for
// concurrent use.
type Capacity struct {
	least, most float64
	now         float64
	last        time.Duration
	peak        float64       // calls in flight lately
	knee        float64       // what it was when congestion began last
	cut         time.Duration // the last time that it shrank
	calm        bool          // there was no congestion at the last look
}

// NewCapacity begins at most: nothing is limited before there is congestion.
func NewCapacity(least, most int) *Capacity {
	return &Capacity{least: float64(least), most: float64(most), now: float64(most), calm: true}
}

// Numbers of AIMD.
const (
	shrink    = 0.9
	grow      = 0.05 // of the present, each time, while at least half of it is used
	regain    = 0.2  // ... up to nearKnee of where congestion began last
	nearKnee  = 0.8
	lookEvery = 100 * time.Millisecond
	cutEvery  = 300 * time.Millisecond // what one cut brings is seen before the next
	fadePeak  = 0.93
)

// Observe takes in whether there is congestion, and the most calls that were in flight since the last look.
func (c *Capacity) Observe(now time.Duration, congested bool, inFlight int64) int {
	if now-c.last < lookEvery && c.last > 0 {
		return int(c.now)
	}
	c.last = now
	used := float64(inFlight)
	c.peak = max(used, c.peak*fadePeak)
	switch {
	case congested && now-c.cut < cutEvery && c.cut > 0:
	case congested: // from what was carried: a limit far above it limits nothing
		at := min(c.now, max(c.peak, c.least))
		if c.calm {
			c.knee = at
		}
		c.now, c.cut = max(c.least, at*shrink), now
	case c.now < c.knee*nearKnee:
		c.now = min(c.knee*nearKnee, c.now+math.Max(1, c.now*regain))
	case used*2 >= c.now:
		c.now = min(c.most, c.now+math.Max(1, c.now*grow))
	default: // room that nobody uses proves little: it comes back slowly
		c.now = min(c.most, c.now+math.Max(1, c.now*grow/5))
	}
	c.calm = !congested
	return int(c.now)
}

// Limited reports whether it is below its most.
func (c *Capacity) Limited() bool { return c.now < c.most }
