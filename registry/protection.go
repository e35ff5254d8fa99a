package registry

import (
	"cmp"
	"slices"
	"time"
)

// Protection says what is held of one service.
type Protection struct {
	Service   string    `json:"service"` // "": the remote proxies
	Source    string    `json:"source"`  // the one that does not name them any more
	Endpoints int       `json:"endpoints"`
	Addrs     []string  `json:"addrs"` // the first ten
	Since     time.Time `json:"since"` // of the one that is held longest
	Why       string    `json:"why"`   // mass-removal or last-endpoint, likewise
}

// Bounds of Protected.
const (
	maxProtections    = 100
	maxProtectedAddrs = 10
)

// view is what accessors see of the parts. Immutable.
type view struct {
	parts     []partView
	protected []Protection
}

type partView struct {
	services map[string]*Service
	read     time.Time
	checked  func(string) time.Time
}

// Protected returns what is held now, what is held longest first: of 100 services at most, Stats has the sum. The slice
// must not be changed. Safe for concurrent use.
func (m *Manager) Protected() []Protection { return m.view.Load().protected }

// LastAnswers returns for every service of the snapshot when a registry last confirmed what is known of it: by the
// source's own word (Checked), or by its last update. Where several sources know a service the latest counts. Zero: not in
// this process, it was only loaded from disk. Safe for concurrent use.
func (m *Manager) LastAnswers() map[string]time.Time {
	out := make(map[string]time.Time)
	for _, p := range m.view.Load().parts {
		for name := range p.services {
			at := p.read
			if p.checked != nil {
				at = p.checked(name)
			}
			if old, ok := out[name]; !ok || at.After(old) {
				out[name] = at
			}
		}
	}
	return out
}

// show makes what is known of the parts visible to others.
func (m *Manager) show() {
	v := &view{protected: m.view.Load().protected}
	if m.watch.changed {
		v.protected = m.protections()
	}
	for _, p := range m.parts {
		v.parts = append(v.parts, partView{services: p.last.Services, read: p.read, checked: p.checked})
	}
	m.view.Store(v)
}

func (m *Manager) protections() []Protection {
	type held struct {
		Protection
		holds map[string]*hold
	}
	var all []held
	for _, p := range m.parts {
		for name, hs := range p.held {
			x := Protection{Service: name, Source: p.name, Endpoints: len(hs.holds), Since: hs.first.since, Why: hs.first.why}
			all = append(all, held{x, hs.holds})
		}
	}
	slices.SortFunc(all, func(a, b held) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Service, b.Service))
	})
	out := make([]Protection, 0, min(len(all), maxProtections))
	for _, x := range all[:cap(out)] {
		for addr := range x.holds {
			x.Addrs = append(x.Addrs, addr)
		}
		slices.Sort(x.Addrs)
		x.Addrs = slices.Clip(x.Addrs[:min(len(x.Addrs), maxProtectedAddrs)])
		out = append(out, x.Protection)
	}
	return out
}
