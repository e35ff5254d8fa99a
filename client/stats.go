package client

import "sync/atomic"

type counters struct {
	local, remote, fixed                             atomic.Int64
	switches, refused, heartbeats                    atomic.Int64
	resentUnsent, resentNotExecuted, resentLost      atomic.Int64
	unsent, lost, deadline, notExecuted, application atomic.Int64
}

// Stats are counts since New.
type Stats struct {
	// Calls that were written, by where to; a call that was sent again counts each time.
	Local, Remote, Fixed int64
	// Switches between the local and the remote tier.
	Switches int64
	// Refused connections, a heartbeat that was not echoed among them, and heartbeats that were.
	Refused, Heartbeats int64
	// Calls that were sent again, by why.
	ResentUnsent, ResentNotExecuted, ResentLost int64
	// Calls that ended with an error, by Class.
	Unsent, Lost, Deadline, NotExecuted, App int64
	// Away: calls go to the remote tier now.
	Away bool
}

// Stats reads the counters. They are read one by one: a sum over them may be off by the calls of that moment.
func (c *Client) Stats() Stats {
	s := &c.stats
	return Stats{
		Local: s.local.Load(), Remote: s.remote.Load(), Fixed: s.fixed.Load(),
		Switches: s.switches.Load(), Refused: s.refused.Load(), Heartbeats: s.heartbeats.Load(),
		ResentUnsent: s.resentUnsent.Load(), ResentNotExecuted: s.resentNotExecuted.Load(), ResentLost: s.resentLost.Load(),
		Unsent: s.unsent.Load(), Lost: s.lost.Load(), Deadline: s.deadline.Load(),
		NotExecuted: s.notExecuted.Load(), App: s.application.Load(),
		Away: c.rule.isAway(),
	}
}

func (s *counters) written(t tier) {
	switch t {
	case tierLocal:
		s.local.Add(1)
	case tierRemote:
		s.remote.Add(1)
	case tierFixed:
		s.fixed.Add(1)
	}
}

func (s *counters) ended(class Class) {
	switch class {
	case ClassUnsent:
		s.unsent.Add(1)
	case ClassLost:
		s.lost.Add(1)
	case ClassDeadline:
		s.deadline.Add(1)
	case ClassNotExecuted:
		s.notExecuted.Add(1)
	case ClassApp:
		s.application.Add(1)
	}
}
