package registry

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
)

const (
	maxName       = 1024 // bytes of a service name or an address
	defaultWeight = 100
)

// accept checks an update and returns our own copy of it in normal form: names filled in, endpoints and remotes sorted by
// address, each address once, weights set. A service that is as it was in old keeps its pointer, so that whoever compiles
// snapshots can tell by a pointer that nothing changed.
func accept(u Update, old *Update, cfg ManagerConfig) (Update, error) {
	if len(u.Services) > cfg.MaxServices {
		return Update{}, fmt.Errorf("it has %d services; the bound is %d", len(u.Services), cfg.MaxServices)
	}
	out := Update{Services: make(map[string]*Service, len(u.Services))}
	var errs []error
	endpoints := len(u.Remotes)
	for name, s := range u.Services {
		runtime.Gosched() // see Manager
		if err := checkService(name, s); err != nil {
			errs = append(errs, err)
			continue
		}
		endpoints += len(s.Endpoints)
		n := *s
		n.Name = name
		n.Endpoints = normalEndpoints(s.Endpoints)
		out.Services[name] = reuse(&n, old.Services[name])
	}
	if len(u.Final) > 0 {
		out.Final = maps.Clone(u.Final)
	}
	if endpoints > cfg.MaxEndpoints {
		errs = append(errs, fmt.Errorf("it has %d endpoints; the bound is %d", endpoints, cfg.MaxEndpoints))
	}
	for _, r := range u.Remotes {
		if r.Addr == "" || len(r.Addr) > maxName {
			errs = append(errs, fmt.Errorf("a remote has an address of %d bytes; 1 to %d are right", len(r.Addr), maxName))
		}
	}
	if len(errs) > 0 {
		slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) }) // maps have no order
		const most = 10
		if extra := len(errs) - most; extra > 0 {
			errs = append(errs[:most], fmt.Errorf("and %d more", extra))
		}
		return Update{}, errors.Join(errs...)
	}
	out.Remotes = normalRemotes(u.Remotes)
	return out, nil
}

func checkService(name string, s *Service) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("a service has a name of %d bytes; 1 to %d are right", len(name), maxName)
	}
	if s == nil {
		return fmt.Errorf("service %q is nil", name)
	}
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		if e.Addr == "" || len(e.Addr) > maxName {
			return fmt.Errorf("service %q: an endpoint has an address of %d bytes; 1 to %d are right", name, len(e.Addr), maxName)
		}
		if e.Weight < 0 || e.Weight > 1000 {
			return fmt.Errorf("service %q: endpoint %s has the weight %d; 1 to 1000 are right", name, e.Addr, e.Weight)
		}
	}
	return nil
}

func normalEndpoints(in []Endpoint) []Endpoint {
	out := slices.Clone(in)
	for i := range out {
		if out[i].Weight == 0 {
			out[i].Weight = defaultWeight
		}
	}
	return sortedOnce(out, endpointAddr)
}

func normalRemotes(in []Remote) []Remote {
	out := slices.Clone(in)
	for i := range out {
		if out[i].Weight <= 0 {
			out[i].Weight = defaultWeight
		}
	}
	return sortedOnce(out, remoteAddr)
}

func endpointAddr(e Endpoint) string { return e.Addr }
func remoteAddr(r Remote) string     { return r.Addr }

// sortedOnce sorts by address and keeps the first of each address. It works in place.
func sortedOnce[T any](list []T, addr func(T) string) []T {
	slices.SortStableFunc(list, func(a, b T) int { return cmp.Compare(addr(a), addr(b)) })
	return slices.CompactFunc(list, func(a, b T) bool { return addr(a) == addr(b) })
}

// reuse returns old when it says the same as s.
func reuse(s, old *Service) *Service {
	if old != nil && (s == old || reflect.DeepEqual(s, old)) {
		return old
	}
	return s
}

// merge unites the parts. Of one service the endpoints are united; of its settings the first source that sets one wins
// (a flag that any source sets is set: "false" can't be told from "not said").
func merge(parts []Update, old *Snapshot) (map[string]*Service, []Remote) {
	services := make(map[string]*Service)
	own := make(map[string]bool) // merged from several: ours to write to
	var remotes []Remote
	for _, p := range parts {
		remotes = append(remotes, p.Remotes...)
		for name, s := range p.Services {
			have, ok := services[name]
			if !ok {
				services[name] = s
				continue
			}
			if !own[name] {
				c := *have
				c.Endpoints = slices.Clone(have.Endpoints)
				services[name], own[name], have = &c, true, &c
			}
			have.Fill(s)
			have.Endpoints = append(have.Endpoints, s.Endpoints...)
		}
	}
	for name := range own {
		runtime.Gosched() // see Manager
		s := services[name]
		s.Endpoints = sortedOnce(s.Endpoints, endpointAddr)
		services[name] = reuse(s, old.Services[name])
	}
	return services, sortedOnce(remotes, remoteAddr)
}

// Fill sets what s leaves open by what later says, endpoints aside: the first that says something counts. s must be the
// caller's own.
func (s *Service) Fill(later *Service) {
	s.Framing = cmp.Or(s.Framing, later.Framing)
	s.Mode = cmp.Or(s.Mode, later.Mode)
	s.Balancer = cmp.Or(s.Balancer, later.Balancer)
	s.Timeout = cmp.Or(s.Timeout, later.Timeout)
	s.SeqID = cmp.Or(s.SeqID, later.SeqID)
	s.Ordered = s.Ordered || later.Ordered
	s.KeepPrefix = s.KeepPrefix || later.KeepPrefix
	s.Remote = s.Remote || later.Remote
	s.MaxConns = cmp.Or(s.MaxConns, later.MaxConns)
	s.MaxPending = cmp.Or(s.MaxPending, later.MaxPending)
	s.Depth = cmp.Or(s.Depth, later.Depth)
	if len(s.Oneway) == 0 {
		s.Oneway = later.Oneway
	}
	if len(s.Idempotent) == 0 {
		s.Idempotent = later.Idempotent
	}
	s.FillHealth(later)
}

// FillHealth sets what s leaves open of how endpoints are kept away from, and come back.
func (s *Service) FillHealth(later *Service) {
	s.SlowStart = cmp.Or(s.SlowStart, later.SlowStart)
	s.Panic = cmp.Or(s.Panic, later.Panic)
	s.ZoneSpill = cmp.Or(s.ZoneSpill, later.ZoneSpill)
	e, l := &s.Ejection, &later.Ejection
	e.Errors = cmp.Or(e.Errors, l.Errors)
	e.Slow = cmp.Or(e.Slow, l.Slow)
	e.MaxShare = cmp.Or(e.MaxShare, l.MaxShare)
	e.Base = cmp.Or(e.Base, l.Base)
	e.Max = cmp.Or(e.Max, l.Max)
}

// same compares what two moments know by pointer: unchanged services have kept theirs.
func same(a, b map[string]*Service, remotesA, remotesB []Remote) bool {
	return maps.Equal(a, b) && slices.Equal(remotesA, remotesB)
}
