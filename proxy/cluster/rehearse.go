package cluster

// Remember has choices of this worker rehearsed until what it returns is called: that puts back what they have moved besides
// the numbers that they drew, which is whose turn it is, what is known of sickness and how new an endpoint is. No probe is
// let through meanwhile. What is remembered last is to be put back first. Loop only.
func (c *Cluster) Remember(worker int, now int64) (restore func()) {
	var turns []int32
	var unseen []*Endpoint
	for _, e := range c.all {
		turns = append(turns, e.States[worker].current)
		if e.warm.Load() == begins {
			unseen = append(unseen, e)
		}
	}
	cursor, sick := c.cursor[worker], c.sick[worker]
	c.sick[worker].dry = true
	return func() {
		c.cursor[worker], c.sick[worker] = cursor, sick
		for i, e := range c.all {
			e.States[worker].current = turns[i]
		}
		for _, e := range unseen {
			e.warm.CompareAndSwap(max(now, 1), begins)
		}
	}
}
