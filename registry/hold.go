package registry

import (
	"maps"
	"slices"
	"time"
)

// part is what one source said last, and what of it is still held. Run only.
//
// Evidence before mass removal: registries fail by forgetting (an expired session, a half-read listing, an empty
// restore), hosts rarely die by the dozen. So endpoints that go in bulk are kept for a while; each of them is still
// judged by its own calls. They go when they time out, and stop being held when the source names them again.
type part struct {
	name   string
	source Source
	intent bool // what the source says is somebody's will, not an observation: nothing is held

	said    Update    // normal form; immutable once set
	read    time.Time // zero: never read in this process
	live    bool      // the source itself has answered
	last    Update    // what state returned last: unchanged services keep their pointers
	held    map[string]*heldService
	remotes map[string]heldItem[Remote]
}

type heldService struct {
	settings  *Service // as it was when endpoints were first held: used when the service itself is gone
	endpoints map[string]heldItem[Endpoint]
}

type heldItem[T any] struct {
	item  T
	until time.Time
}

// newPart asks the source whether it is authoritative: a file that an operator edits is, an observed registry is not.
func newPart(name string, s Source) *part {
	p := &part{name: name, source: s, held: map[string]*heldService{}, remotes: map[string]heldItem[Remote]{}}
	if a, ok := s.(interface{ Authoritative() bool }); ok {
		p.intent = a.Authoritative()
	}
	return p
}

// load sets the part from the last-known-good file, which must pass like any update.
func (p *part) load(s savedPart, cfg ManagerConfig) error {
	u, err := accept(s.update(), &p.said, cfg)
	if err != nil {
		return err
	}
	p.said = u
	return nil
}

// replace sets what the source says now and holds what a mass removal took away; it returns how much it holds anew.
func (p *part) replace(u Update, read, now time.Time, cfg ManagerConfig) int {
	held := 0
	if !p.intent && cfg.HoldRemoved > 0 {
		held = p.hold(u, now.Add(cfg.HoldRemoved), cfg)
	}
	p.said, p.read, p.live = u, read, true
	for name, h := range p.held {
		if s := u.Services[name]; s != nil {
			for i := range s.Endpoints {
				delete(h.endpoints, s.Endpoints[i].Addr)
			}
		}
	}
	for _, r := range u.Remotes {
		delete(p.remotes, r.Addr)
	}
	p.prune()
	return held
}

// hold compares the old update with the new one. A removal is judged per service and over the whole part: a registry
// that lost hundreds of services with two endpoints each is as suspicious as one that lost one big service.
func (p *part) hold(u Update, until time.Time, cfg ManagerConfig) int {
	gone := make(map[string][]Endpoint)
	had, lost := 0, 0
	for name, old := range p.said.Services {
		var still []Endpoint
		if s := u.Services[name]; s != nil {
			still = s.Endpoints
		}
		had += len(old.Endpoints)
		if missing := without(old.Endpoints, still, endpointAddr); len(missing) > 0 {
			gone[name] = missing
			lost += len(missing)
		}
	}
	held, all := 0, cfg.massRemoval(lost, had)
	for name, missing := range gone {
		old := p.said.Services[name]
		if !all && !cfg.massRemoval(len(missing), len(old.Endpoints)) {
			continue
		}
		h := p.held[name]
		if h == nil {
			h = &heldService{endpoints: make(map[string]heldItem[Endpoint])}
			p.held[name] = h
		}
		h.settings = old
		for _, e := range missing {
			h.endpoints[e.Addr] = heldItem[Endpoint]{e, until}
		}
		held += len(missing)
	}
	missing := without(p.said.Remotes, u.Remotes, remoteAddr)
	if cfg.massRemoval(len(missing), len(p.said.Remotes)) {
		for _, r := range missing {
			p.remotes[r.Addr] = heldItem[Remote]{r, until}
		}
		held += len(missing)
	}
	return held
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

// expire lets go what was held long enough.
func (p *part) expire(now time.Time) {
	for _, h := range p.held {
		maps.DeleteFunc(h.endpoints, func(_ string, i heldItem[Endpoint]) bool { return !i.until.After(now) })
	}
	maps.DeleteFunc(p.remotes, func(_ string, i heldItem[Remote]) bool { return !i.until.After(now) })
	p.prune()
}

func (p *part) prune() {
	maps.DeleteFunc(p.held, func(_ string, h *heldService) bool { return len(h.endpoints) == 0 })
}

// nextExpiry returns when expire has something to do; zero: never.
func (p *part) nextExpiry() time.Time {
	var next time.Time
	sooner := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, h := range p.held {
		for _, i := range h.endpoints {
			sooner(i.until)
		}
	}
	for _, i := range p.remotes {
		sooner(i.until)
	}
	return next
}

func (p *part) heldCount() int {
	n := len(p.remotes)
	for _, h := range p.held {
		n += len(h.endpoints)
	}
	return n
}

// state returns what the part contributes: what the source says plus what is held.
func (p *part) state() Update {
	if len(p.held) == 0 && len(p.remotes) == 0 {
		p.last = p.said
		return p.said
	}
	u := Update{Services: make(map[string]*Service, len(p.said.Services)), Remotes: slices.Clone(p.said.Remotes)}
	maps.Copy(u.Services, p.said.Services)
	for name, h := range p.held {
		now := u.Services[name]
		var s Service
		if now != nil {
			s = *now
			s.Endpoints = slices.Clone(now.Endpoints)
		} else {
			s = *h.settings
			s.Endpoints = nil
		}
		for _, i := range h.endpoints {
			s.Endpoints = append(s.Endpoints, i.item)
		}
		s.Endpoints = sortedOnce(s.Endpoints, endpointAddr)
		u.Services[name] = reuse(&s, p.last.Services[name])
	}
	for _, i := range p.remotes {
		u.Remotes = append(u.Remotes, i.item)
	}
	u.Remotes = sortedOnce(u.Remotes, remoteAddr)
	p.last = u
	return u
}
