package rules

import (
	"cmp"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/registry"
)

// Applier puts rules over snapshots. It remembers what it made: a service that is as it was before, under rules that are as
// they were or say the same of it, keeps its pointer, so that whoever compiles snapshots can tell that nothing changed.
type Applier struct {
	check     func(*registry.Service) error
	log       *slog.Logger
	rules     *Rules
	made      map[string]made
	conflicts atomic.Pointer[[]Conflict]
}

// made is what was made of a service.
type made struct {
	from, to *registry.Service
	conflict string
}

// Conflict is a service on which rules are not in force, since it could not be called as they want.
type Conflict struct {
	Service string `json:"service"`
	Problem string `json:"problem"`
}

// NewApplier returns an applier. check judges a service as it would be with the rules, as the data plane will; nil takes
// every one.
func NewApplier(check func(*registry.Service) error, log *slog.Logger) *Applier {
	if check == nil {
		check = func(*registry.Service) error { return nil }
	}
	a := &Applier{check: check, log: log, made: map[string]made{}}
	a.conflicts.Store(&[]Conflict{})
	return a
}

// Conflicts are those of the snapshot that was made last, by service. Safe for concurrent use.
func (a *Applier) Conflicts() []Conflict { return *a.conflicts.Load() }

// Apply returns the snapshot as it is with the rules: what they say of a service goes before what registries say, and
// their defaults fill in what registries leave open. nil rules return s itself. One at a time.
// It may be long work, and gives way (see registry.Manager).
func (a *Applier) Apply(s *registry.Snapshot, r *Rules) *registry.Snapshot {
	if r == nil {
		a.rules, a.made = nil, map[string]made{}
		a.conflicts.Store(&[]Conflict{})
		return s
	}
	same := r == a.rules
	next := make(map[string]made, len(s.Services))
	out := *s
	out.Services = make(map[string]*registry.Service, len(s.Services))
	conflicts := []Conflict{}
	for name, svc := range s.Services {
		old := a.made[name]
		m := old
		if !same || old.from != svc {
			runtime.Gosched()
			m = a.make(svc, r, old)
		}
		next[name], out.Services[name] = m, m.to
		if m.conflict != "" {
			conflicts = append(conflicts, Conflict{name, m.conflict})
		}
	}
	slices.SortFunc(conflicts, func(a, b Conflict) int { return cmp.Compare(a.Service, b.Service) })
	a.rules, a.made = r, next
	a.conflicts.Store(&conflicts)
	return &out
}

// make applies the rules to one service. One that could not be called as they want stays as registries say: it would
// otherwise be frozen as it was, endpoints included.
func (a *Applier) make(svc *registry.Service, r *Rules, old made) made {
	m := made{from: svc, to: r.apply(svc)}
	if m.to != svc {
		if err := a.check(m.to); err != nil {
			m.to, m.conflict = svc, err.Error()
			if m.conflict != old.conflict {
				a.log.Error("the rules are not in force on a service: it could not be called so", "service", svc.Name, "problem", err)
			}
		}
	}
	if old.to != nil && m.to != svc && reflect.DeepEqual(m.to, old.to) {
		m.to = old.to
	}
	return m
}

// apply returns the service with the rules, or itself when they say nothing of it that it does not say already.
func (r *Rules) apply(svc *registry.Service) *registry.Service {
	out := *svc
	var weights []weight
	entries := r.entries(svc.Name)
	for i := len(entries) - 1; i >= 0; i-- { // the most exact has the last word
		e := entries[i]
		over(&out, &e.settings)
		if e.weights != nil {
			weights = e.weights
		}
		if e.zone != nil {
			out.AnyZone = !*e.zone
		}
	}
	r.fill(&out)
	endpoints := r.endpoints(svc.Endpoints, weights)
	if endpoints == nil && sameSettings(&out, svc) {
		return svc
	}
	if endpoints != nil {
		out.Endpoints = endpoints
	}
	return &out
}

// over sets what an entry says.
func over(s, says *registry.Service) {
	s.Framing = cmp.Or(says.Framing, s.Framing)
	s.Mode = cmp.Or(says.Mode, s.Mode)
	s.Balancer = cmp.Or(says.Balancer, s.Balancer)
	s.Timeout = cmp.Or(says.Timeout, s.Timeout)
	s.MaxConns = cmp.Or(says.MaxConns, s.MaxConns)
	s.MaxPending = cmp.Or(says.MaxPending, s.MaxPending)
	s.Depth = cmp.Or(says.Depth, s.Depth)
	health := *says
	health.FillHealth(s)
	s.SlowStart, s.Panic, s.ZoneSpill, s.Ejection = health.SlowStart, health.Panic, health.ZoneSpill, health.Ejection
	if says.Oneway != nil {
		s.Oneway = says.Oneway
	}
	if says.Idempotent != nil {
		s.Idempotent = says.Idempotent
	}
}

// fill sets what is left open. Servers that work on the calls of one connection concurrently by nature have a depth of
// their own, which no default is meant for, here as in the configuration.
func (r *Rules) fill(s *registry.Service) {
	d := &r.defaults
	s.Timeout = cmp.Or(s.Timeout, d.Timeout)
	s.Balancer = cmp.Or(s.Balancer, d.Balancer)
	s.MaxConns = cmp.Or(s.MaxConns, d.MaxConns)
	s.MaxPending = cmp.Or(s.MaxPending, d.MaxPending)
	if wire, err := protocol.ParseWire(cmp.Or(s.Framing, "framed-binary")); err == nil && !wire.Framing.Multiplexed() {
		s.Depth = cmp.Or(s.Depth, d.Depth)
	}
	s.FillHealth(d)
}

// sameSettings compares all but the endpoints of what was made with what it was made of.
func sameSettings(a, b *registry.Service) bool {
	x, y := *a, *b
	x.Endpoints, y.Endpoints = nil, nil
	return reflect.DeepEqual(x, y)
}

// endpoints returns the endpoints with their zones and weights; nil: they are as they were. Those of weight 0 are left out,
// but if all were, all stay as registries say: a service that nobody serves is no operator's will.
func (r *Rules) endpoints(in []registry.Endpoint, weights []weight) []registry.Endpoint {
	if len(weights) == 0 && r.zones.empty() {
		return nil
	}
	out := make([]registry.Endpoint, 0, len(in))
	changed := false
	for i := range in {
		if i%64 == 63 {
			runtime.Gosched()
		}
		e := in[i]
		if zone := r.zones.of(&e); zone != "" {
			e.Zone = zone
		}
		for w := range weights {
			if weights[w].matches(&e) {
				e.Weight = weights[w].weight
				if e.Weight == 0 {
					e.Weight = none
				}
				break
			}
		}
		changed = changed || e.Zone != in[i].Zone || e.Weight != in[i].Weight
		out = append(out, e)
	}
	if !changed {
		return nil
	}
	return withoutIdle(out, in)
}

// none marks an endpoint that takes no calls: 0 is the default's word.
const none = -1

func withoutIdle(out, in []registry.Endpoint) []registry.Endpoint {
	idle := func(e registry.Endpoint) bool { return e.Weight == none }
	if !slices.ContainsFunc(out, func(e registry.Endpoint) bool { return !idle(e) }) {
		for i := range out {
			out[i].Weight = in[i].Weight
		}
		return out
	}
	return slices.DeleteFunc(out, idle)
}
