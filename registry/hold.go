package registry

import (
	"runtime"
	"time"
)

// This file compares what a source says with what it said before, and decides what to hold. See the package comment for
// the rules.
//
//	update ─► losses ─► mass? last? ─┬─ no ─► gone at once
//	                                 └─ yes ► hold ─► has anybody else the address? ─► evidence.go

// hold is one endpoint, or remote proxy, that is kept although its source does not name it any more. Run only.
type hold struct {
	part     *part
	service  string   // "": a remote proxy
	endpoint Endpoint // of a remote proxy: the address alone
	remote   Remote
	why      string
	since    time.Time
	until    time.Time // when the hold ends, if the source confirms it then

	failures int // probes in a row
	over     bool
	queue    *queue // where it waits; nil: it is being probed
	at       int    // place in the queue
	due      time.Time
}

// Why an endpoint is held.
const (
	whyMass = "mass-removal"
	whyLast = "last-endpoint"
)

// loss is what an update takes from one service.
type loss struct {
	service  string
	settings *Service
	gone     []*hold // without those that need no judgement
	had      int
	came     int
	last     bool // nothing is left
}

// tally counts what a service lost lately. A registry that forgets one by one has forgotten all in the end.
type tally struct {
	until time.Time
	lost  int
}

// tallied is how long a removal counts together with the next ones.
const tallied = 30 * time.Second

func (t *tally) lately(now time.Time) int {
	if t == nil || !now.Before(t.until) {
		return 0
	}
	return t.lost
}

func (t *tally) add(lost, came int, now time.Time) {
	if !now.Before(t.until) {
		t.until, t.lost = now.Add(tallied), 0
	}
	t.lost = max(0, t.lost+lost-came)
}

// replace sets what the source says now and holds what it must not take away yet.
func (m *Manager) replace(p *part, u Update, read, now time.Time) {
	fresh := m.judge(p, u, now)
	m.appeared(p, u)
	p.set(u)
	p.read, p.live = read, true
	m.returned(p)
	m.elsewhere(fresh)
	m.strangers(fresh)
}

// judge decides about every endpoint that the update takes away. A removal is judged per service and over the whole
// part: a registry that lost hundreds of services with two endpoints each is as suspicious as one that lost one big
// service. It returns what is held anew.
func (m *Manager) judge(p *part, u Update, now time.Time) (fresh []*hold) {
	losses, had := m.losses(p, u)
	lost, came := 0, 0
	for _, l := range losses {
		if l.service != "" {
			lost, came = lost+len(l.gone), came+l.came
		}
	}
	before := p.overall.lately(now)
	all := m.cfg.massRemoval(before+lost, before+had)
	if lost+came > 0 {
		p.overall.add(lost, came, now)
	}
	for _, l := range losses {
		runtime.Gosched() // see Manager
		before := p.lately[l.service].lately(now)
		if p.lately[l.service] == nil {
			p.lately[l.service] = &tally{}
		}
		p.lately[l.service].add(len(l.gone), l.came, now)
		why := ""
		switch {
		case all && l.service != "", m.cfg.massRemoval(before+len(l.gone), before+l.had):
			why = whyMass
		case l.last:
			why = whyLast
		}
		for _, h := range l.gone {
			if why == "" {
				m.journal.note(wasOrdinary, p.name, h.service, h.endpoint.Addr)
				continue
			}
			h.why, h.since = why, now
			m.watch.keep(h, l.settings, now)
			m.journal.note(heldNow, p.name, h.service, h.endpoint.Addr)
			fresh = append(fresh, h)
		}
	}
	p.forget(now)
	return fresh
}

// forget drops the tallies that have run out.
func (p *part) forget(now time.Time) {
	for name, t := range p.lately {
		if t.lately(now) == 0 {
			delete(p.lately, name)
		}
	}
}

// losses returns what changed in which service, and how many endpoints all services had. What goes without a question is
// noted here, and left out.
func (m *Manager) losses(p *part, u Update) (list []*loss, had int) {
	for name, old := range p.said.Services {
		s := u.Services[name]
		had += len(old.Endpoints)
		if s == old {
			continue
		}
		runtime.Gosched() // see Manager
		var still []Endpoint
		if s != nil {
			still = s.Endpoints
		}
		gone := without(old.Endpoints, still, endpointAddr)
		l := &loss{service: name, settings: old, had: len(old.Endpoints), last: len(still) == 0}
		l.came = len(still) - (len(old.Endpoints) - len(gone))
		for _, e := range gone {
			l.gone = m.unless(l.gone, &hold{part: p, service: name, endpoint: e}, u.Final[name])
		}
		if len(l.gone)+l.came > 0 {
			list = append(list, l)
		}
	}
	gone := without(p.said.Remotes, u.Remotes, remoteAddr)
	l := &loss{had: len(p.said.Remotes), last: len(u.Remotes) == 0}
	l.came = len(u.Remotes) - (len(p.said.Remotes) - len(gone))
	for _, r := range gone {
		l.gone = m.unless(l.gone, &hold{part: p, remote: r, endpoint: Endpoint{Addr: r.Addr}}, false)
	}
	if len(l.gone)+l.came > 0 {
		list = append(list, l)
	}
	return list, had
}

// unless appends h to what has to be judged, unless it goes without a question.
func (m *Manager) unless(list []*hold, h *hold, final bool) []*hold {
	what := wasFinal
	switch {
	case h.part.intent:
		what = wasIntended
	case final:
	case h.endpoint.Terminating:
		what = wasTerminating
	case m.cfg.HoldRemoved < 0:
		what = wasOrdinary
	default:
		return append(list, h)
	}
	m.journal.note(what, h.part.name, h.service, h.endpoint.Addr)
	return list
}

func (c *ManagerConfig) massRemoval(removed, of int) bool {
	return removed >= c.MinRemoval && float64(removed) > c.MaxRemovalShare*float64(of)
}

// without returns those of a whose address is not in b. Both are sorted by address.
func without[T any](a, b []T, addr func(T) string) []T {
	var out []T
	for _, x := range a {
		for len(b) > 0 && addr(b[0]) < addr(x) {
			b = b[1:]
		}
		if len(b) == 0 || addr(b[0]) != addr(x) {
			out = append(out, x)
		}
	}
	return out
}

// returned ends the holds of what the source names now, or says to be gone for good.
func (m *Manager) returned(p *part) {
	for service, hs := range p.held {
		runtime.Gosched() // see Manager
		for addr, h := range hs.holds {
			if p.names(service, addr) != nil {
				m.watch.release(h, namedAgain)
			} else if p.said.Final[service] {
				m.watch.release(h, wasFinal)
			}
		}
	}
}

// appeared looks at what the update adds: an address that comes up elsewhere is not the held one's any more. It is called
// while the part still says what it said before.
func (m *Manager) appeared(p *part, u Update) {
	if len(m.watch.byAddr) == 0 {
		return
	}
	for name, s := range u.Services {
		old := p.said.Services[name]
		if s == old {
			continue
		}
		runtime.Gosched() // see Manager
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			for _, h := range m.watch.heldAt(e.Addr) {
				switch {
				case h.part == p && h.service == name: // returned's
				case h.service == name && !otherOwner(h, e):
					m.watch.release(h, namedElsewhere)
				case otherOwner(h, e), h.service != name && !sameOwner(h, e) && !m.known(name, e.Addr):
					m.watch.release(h, addressReused)
				}
			}
		}
	}
	for _, r := range u.Remotes {
		for _, h := range m.watch.heldAt(r.Addr) {
			if h.service == "" && h.part != p {
				m.watch.release(h, namedElsewhere)
			}
		}
	}
}

func otherOwner(h *hold, e *Endpoint) bool {
	return h.endpoint.Owner != "" && e.Owner != "" && h.endpoint.Owner != e.Owner
}

func sameOwner(h *hold, e *Endpoint) bool { return e.Owner != "" && h.endpoint.Owner == e.Owner }

// known reports whether the address was under this service already: one server may be behind several services.
func (m *Manager) known(service, addr string) bool {
	for _, p := range m.parts {
		if p.names(service, addr) != nil || p.holds(service, addr) {
			return true
		}
	}
	return false
}

// elsewhere ends the holds of what another source names: it is not gone, and if it goes there it is judged there.
func (m *Manager) elsewhere(fresh []*hold) {
	for _, h := range fresh {
		for _, p := range m.parts {
			if e := p.names(h.service, h.endpoint.Addr); p != h.part && e != nil && !h.over {
				if otherOwner(h, e) {
					m.watch.release(h, addressReused)
				} else {
					m.watch.release(h, namedElsewhere)
				}
			}
		}
	}
}

// strangers ends the holds of what had an address that another owner has now, under whatever service.
func (m *Manager) strangers(fresh []*hold) {
	owned := make(map[string][]*hold)
	for _, h := range fresh {
		if h.endpoint.Owner != "" && !h.over {
			owned[h.endpoint.Addr] = append(owned[h.endpoint.Addr], h)
		}
	}
	if len(owned) == 0 {
		return
	}
	for _, p := range m.parts {
		for _, s := range p.said.Services {
			runtime.Gosched() // see Manager
			for i := range s.Endpoints {
				e := &s.Endpoints[i]
				for _, h := range owned[e.Addr] {
					if otherOwner(h, e) && !h.over {
						m.watch.release(h, addressReused)
					}
				}
			}
		}
	}
}
