package registry

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// This file carries what is held over a restart, by marks in the last-known-good file.

// sortedMarks puts all marks into one list, in an order of their own.
func sortedMarks(lists [][]savedHold) []savedHold {
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b savedHold) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Addr, b.Addr))
	})
	return all
}

// load sets a part from the last-known-good file, which must pass like any update.
func (m *Manager) load(p *part, s savedPart, now time.Time) error {
	u, err := accept(s.update(), &p.said, m.cfg)
	if err != nil {
		return err
	}
	var holds []*hold
	if !p.intent && m.cfg.HoldRemoved > 0 {
		holds = p.unmark(&u, s.Held, now)
	}
	settings := make(map[string]*Service)
	for _, h := range holds {
		settings[h.service] = u.Services[h.service]
	}
	u = lessHeld(u, holds)
	p.set(u)
	for _, h := range holds {
		m.watch.keep(h, settings[h.service], now)
	}
	return nil
}

// unmark finds what is marked. A mark of what is not there means nothing.
func (p *part) unmark(u *Update, marks []savedHold, now time.Time) (holds []*hold) {
	marked := make(map[[2]string]savedHold, len(marks))
	for _, s := range marks {
		marked[[2]string{s.Service, s.Addr}] = s
	}
	add := func(service string, e Endpoint, r Remote) {
		s, ok := marked[[2]string{service, e.Addr}]
		if !ok {
			return
		}
		h := &hold{part: p, service: service, endpoint: e, remote: r, since: s.Since, why: whyMass}
		if s.Why == whyLast {
			h.why = whyLast
		}
		if h.since.After(now) { // the clock was set back
			h.since = now
		}
		holds = append(holds, h)
	}
	for name, s := range u.Services {
		for _, e := range s.Endpoints {
			add(name, e, Remote{})
		}
	}
	for _, r := range u.Remotes {
		add("", Endpoint{Addr: r.Addr}, r)
	}
	return holds
}

// lessHeld returns u as the source last said it: without what was held.
func lessHeld(u Update, holds []*hold) Update {
	out := Update{Services: maps.Clone(u.Services), Remotes: u.Remotes}
	gone := make(map[string]map[string]bool)
	for _, h := range holds {
		if gone[h.service] == nil {
			gone[h.service] = make(map[string]bool)
		}
		gone[h.service][h.endpoint.Addr] = true
	}
	for name, addrs := range gone {
		if name == "" {
			out.Remotes = slices.DeleteFunc(slices.Clone(u.Remotes), func(r Remote) bool { return addrs[r.Addr] })
			continue
		}
		s := *u.Services[name]
		s.Endpoints = slices.DeleteFunc(slices.Clone(s.Endpoints), func(e Endpoint) bool { return addrs[e.Addr] })
		if out.Services[name] = &s; len(s.Endpoints) == 0 {
			delete(out.Services, name)
		}
	}
	return out
}
