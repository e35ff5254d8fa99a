package proxy

import "github.com/bellhop-mesh/bellhop/proxy/cluster"

// A oneway has no reply, but servers answer one all the same when they don't know its method, or know it as one that
// replies. Such an answer comes while somebody else's call is in flight on the connection: it must neither be taken for
// that call's nor cost it the connection. So a oneway keeps its sequence after its bytes have left, until it can't be
// answered any more.

const (
	// maxSpent bounds the oneways of one connection that could still be answered; then the connection takes no more.
	maxSpent = 1024
	// spentFor is how long an answer is waited for on a connection whose replies may overtake each other, in ns.
	spentFor = int64(10e9)
)

// spend keeps a oneway whose bytes have left. On a connection without sequences it ends at once: such a connection is
// not used again.
func (u *upstream) spend(c *call) {
	if u.conn == nil || u.pool.cluster.Positional {
		return
	}
	c.up, c.spent = u, true
	u.spent = append(u.spent, c)
	if u.mode == cluster.Multiplexed {
		u.retire(u.w.now - spentFor)
	}
	if len(u.spent) >= maxSpent {
		u.pool.leaving(u)
	}
}

// retire lets go of the oneways that were sent before a time. On an exclusive connection every reply does so for all:
// its server works in turn.
func (u *upstream) retire(before int64) {
	n := 0
	for n < len(u.spent) && u.spent[n].sentAt < before {
		u.spent[n].up = nil
		u.w.calls.put(u.spent[n])
		n++
	}
	u.spent = u.spent[:copy(u.spent, u.spent[n:])]
}

// answered drops the answer to a oneway.
func (u *upstream) answered(c *call) {
	u.w.stats.onewayAnswers++
	for i, o := range u.spent {
		if o == c {
			u.spent = append(u.spent[:i], u.spent[i+1:]...)
			break
		}
	}
	c.up = nil
	u.w.calls.put(c)
}
