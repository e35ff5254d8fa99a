package zookeeper

import "time"

// Stats are the counters of a source and of its client, read at scrape.
type Stats struct {
	Connected      bool
	Problem        string        // why there is no session now
	Sessions       uint64        // connections with a session that were made
	Lost           uint64        // … that were lost
	Expired        uint64        // sessions that ended because no server heard of us in time
	TooLong        uint64        // replies beyond max_reply
	Watched        int           // services
	Unknown        int           // names remembered as not being there, those being looked up included
	Pending        int           // look-ups that wait
	Lookups        uint64        // look-ups for calls of unknown services
	Failures       uint64        // readings that failed
	Refused        uint64        // look-ups refused: a bad name, or a bound
	KnownUnknown   uint64        // look-ups answered from the memory of unknown names
	BadNodes       uint64        // nodes that are no instances
	Audits         uint64        // rounds
	Corrected      uint64        // services that an audit found changed without an event
	SaveErrors     uint64        // times that the names in use could not be saved
	OldestAnswer   time.Duration // age of the oldest last good answer about a watched service
	OldestAnswerOf string        // … whose it is
}

// Stats returns the counters as they are now. Safe for concurrent use.
func (s *Source) Stats() Stats {
	st := Stats{
		Lookups: s.lookups.Load(), Failures: s.failures.Load(), Refused: s.refused.Load(), KnownUnknown: s.answeredUnknown.Load(),
		BadNodes: s.bad.Load(), Audits: s.audits.Load(), Corrected: s.corrected.Load(), SaveErrors: s.saveErrors.Load(),
	}
	if c, ok := s.client.(*Client); ok {
		st.Connected, st.Problem = c.connected.Load(), c.Problem()
		st.Sessions, st.Lost, st.Expired, st.TooLong = c.sessions.Load(), c.lost.Load(), c.missed.Load(), c.big.Load()
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Watched, st.Unknown, st.Pending = s.watched, s.missing, len(s.queue)
	for _, e := range s.entries {
		if e.used && !e.checked.IsZero() && now.Sub(e.checked) > st.OldestAnswer {
			st.OldestAnswer, st.OldestAnswerOf = now.Sub(e.checked), e.name
		}
	}
	return st
}
