package cluster

// Remember notes what Pick moves besides the numbers that it draws: whose turn it is. What it returns puts it back, so that
// a choice can be rehearsed. Loop only.
func (c *Cluster) Remember(worker int) (restore func()) {
	cursor := c.cursor[worker]
	turns := make([]int, len(c.all))
	for i, e := range c.all {
		turns[i] = e.States[worker].current
	}
	return func() {
		c.cursor[worker] = cursor
		for i, e := range c.all {
			e.States[worker].current = turns[i]
		}
	}
}
