package registry

import (
	"cmp"
	"maps"
	"runtime"
	"slices"
	"time"
)

// part is what one source said last, and what is held of what it said before. Run only.
type part struct {
	name    string
	source  Source
	intent  bool                   // what the source says is somebody's will, not an observation: nothing is held
	checked func(string) time.Time // the source's Checked; nil: it has none

	said    Update    // normal form; immutable once set
	read    time.Time // zero: never read in this process
	live    bool      // the source itself has answered
	held    map[string]*heldService
	lately  map[string]*tally // of a service; "": the remote proxies
	overall tally             // of all services together

	stale bool   // state has to be made anew
	last  Update // what state returned last: unchanged services keep their pointers
}

// heldService is what is held of one service; of the service "", the remote proxies.
type heldService struct {
	settings *Service // as it was when endpoints were last held: used when the service itself is gone
	holds    map[string]*hold
	fresh    bool // what follows is up to date

	built *Service    // what is named and what is held, merged; nil: the remote proxies
	marks []savedHold // for the last-known-good file, immutable
	first *hold       // what is held longest
}

// newPart asks the source what else it can say.
func newPart(name string, s Source) *part {
	p := &part{name: name, source: s, held: map[string]*heldService{}, lately: map[string]*tally{}}
	if a, ok := s.(interface{ Authoritative() bool }); ok {
		p.intent = a.Authoritative()
	}
	if c, ok := s.(interface{ Checked(string) time.Time }); ok {
		p.checked = c.Checked
	}
	return p
}

// confirms reports whether the source has looked since the hold ran out, and still does not name what is held.
func (p *part) confirms(h *hold) bool {
	if p.checked == nil {
		return p.live
	}
	return !p.checked(h.service).Before(h.until)
}

// names returns how the source names an address of a service; nil: it does not. Of a remote proxy it returns the address
// alone.
func (p *part) names(service, addr string) *Endpoint {
	if service == "" {
		if _, ok := slices.BinarySearchFunc(p.said.Remotes, addr, func(r Remote, a string) int { return cmp.Compare(r.Addr, a) }); ok {
			return &Endpoint{Addr: addr}
		}
		return nil
	}
	s := p.said.Services[service]
	if s == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(s.Endpoints, addr, func(e Endpoint, a string) int { return cmp.Compare(e.Addr, a) })
	if !ok {
		return nil
	}
	return &s.Endpoints[i]
}

func (p *part) holds(service, addr string) bool {
	h := p.held[service]
	return h != nil && h.holds[addr] != nil
}

// settings returns how a service is called; nil for remote proxies.
func (p *part) settings(service string) *Service {
	if s := p.said.Services[service]; s != nil {
		return s
	}
	if h := p.held[service]; h != nil {
		return h.settings
	}
	return nil
}

// set takes what the source says now.
func (p *part) set(u Update) {
	old := p.said
	p.said = u
	if same(old.Services, u.Services, old.Remotes, u.Remotes) {
		return
	}
	p.stale = true
	for name, h := range p.held {
		if old.Services[name] != u.Services[name] {
			h.fresh = false
		}
	}
}

// state returns what the part contributes: what the source says plus what is held.
func (p *part) state() Update {
	if !p.stale {
		return p.last
	}
	p.stale = false
	if len(p.held) == 0 {
		p.last = p.said
		return p.said
	}
	u := Update{Services: maps.Clone(p.said.Services), Remotes: p.said.Remotes}
	if u.Services == nil {
		u.Services = make(map[string]*Service, len(p.held))
	}
	for name, h := range p.held {
		if !h.fresh {
			runtime.Gosched() // see Manager
			h.refresh()
			if name != "" {
				h.built = reuse(h.withEndpoints(p.said.Services[name]), p.last.Services[name])
			}
		}
		if name == "" {
			u.Remotes = h.withRemotes(u.Remotes)
			continue
		}
		u.Services[name] = h.built
	}
	p.last = u
	return u
}

// refresh sums up what is held.
func (h *heldService) refresh() {
	h.fresh, h.first, h.marks = true, nil, make([]savedHold, 0, len(h.holds))
	for addr, i := range h.holds {
		if h.first == nil || i.since.Before(h.first.since) || i.since.Equal(h.first.since) && addr < h.first.endpoint.Addr {
			h.first = i
		}
		h.marks = append(h.marks, savedHold{Service: i.service, Addr: addr, Since: i.since, Why: i.why})
	}
}

// marks returns what is held, for the last-known-good file. It is not changed any more.
func (p *part) marks() [][]savedHold {
	var out [][]savedHold
	for _, h := range p.held {
		out = append(out, h.marks)
	}
	return out
}

// withEndpoints returns a service with what is held of it. named is what the source says of it; nil: nothing.
func (h *heldService) withEndpoints(named *Service) *Service {
	s := *h.settings
	s.Endpoints = nil
	if named != nil {
		s = *named
	}
	s.Endpoints = slices.Grow(slices.Clone(s.Endpoints), len(h.holds))
	for _, i := range h.holds {
		s.Endpoints = append(s.Endpoints, i.endpoint)
	}
	s.Endpoints = sortedOnce(s.Endpoints, endpointAddr)
	return &s
}

func (h *heldService) withRemotes(named []Remote) []Remote {
	out := slices.Clone(named)
	for _, i := range h.holds {
		out = append(out, i.remote)
	}
	return sortedOnce(out, remoteAddr)
}
