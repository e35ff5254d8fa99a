package proxy

import "github.com/bellhop-mesh/bellhop/proxy/cluster"

// This file is what time does to a connection to an endpoint: stalls, idleness, age.

// aged reports whether the connection is due to be replaced: names are resolved at connect only.
func (u *upstream) aged() bool {
	age := u.w.p.cfg.Timeouts.UpstreamAge
	return age > 0 && u.w.now-u.openedAt >= int64(age)
}

// stallAfter is how long a multiplexed connection with calls in flight may stay silent: max(2 deadlines, 3 s).
func (u *upstream) stallAfter(c *call) int64 {
	return max(int64(u.w.p.cfg.Timeouts.Stall), 2*int64(c.allowed()))
}

// longestStall is stallAfter of the call that has the longest deadline.
func (u *upstream) longestStall() (ns int64) {
	for c := u.calls; c != nil; c = c.unext {
		ns = max(ns, u.stallAfter(c))
	}
	return ns
}

// owed notes a call whose deadline has passed. A server that leaves calls unanswered while it answers others would use
// up the connection's depth: when half of it is gone, new calls go to a new connection.
func (u *upstream) owed(c *call) {
	c.overdue = true
	u.overdue++
	if 2*u.overdue > u.pool.cluster.Depth && u.hand == nil && !u.left {
		u.w.stats.overdueConns++
		u.pool.leaving(u)
	}
}

func (u *upstream) expired(now int64) {
	u.checkStall(now)
	t := &u.w.p.cfg.Timeouts
	switch {
	case u.hand != nil && !u.hand.admitted && u.nCalls > 0:
		if now >= u.hand.deadline {
			u.w.doom(&u.session, reasonStall)
			return
		}
		u.schedule(u.hand.deadline)
	case u.relay != nil || u.feeder != nil:
		if u.relay != nil && u.late(now) {
			u.w.doom(&u.session, reasonStall)
			return
		}
		u.schedule(u.pieceDue(now))
	case u.nCalls > 0 && u.mode == cluster.Multiplexed:
		at := u.lastActive + u.longestStall()
		if now >= at {
			u.w.doom(&u.session, reasonStall)
			return
		}
		u.schedule(at)
	case u.nCalls == 0:
		if now >= u.idleAt+int64(t.UpstreamIdle) {
			u.w.doom(&u.session, reasonIdle)
			return
		}
		u.schedule(u.idleAt + int64(t.UpstreamIdle))
	}
}

// alive looks whether the peer has closed a connection that has been idle for a while: the event may not have come yet.
// One system call, so only after idleCheck.
func (u *upstream) alive() bool {
	if u.w.now-u.idleAt < idleCheck {
		return true
	}
	return silent(u.conn.Fd())
}

const idleCheck = int64(1e6) // ns

// account counts what is buffered here against the proxy's bound.
func (u *upstream) account() {
	n := int64(0)
	if u.live() {
		n = int64(u.waitingBytes())
	}
	if delta := n - u.counted; delta != 0 {
		u.counted = n
		u.w.p.bytes.Add(delta)
	}
}
