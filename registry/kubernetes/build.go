package kubernetes

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/bellhop-mesh/bellhop/registry"
)

// candidate is one entry of a slice beside what its Service says.
type candidate struct {
	endpoint
	at       string // address and port
	port     int32
	favoured bool // of the preferred family
	service  *kubeService
}

// build makes a Thrift service of its Services and their slices, and judges what is missing since the last time.
func (s *state) build(name string, now time.Time) {
	k := s.names[name]
	if k == nil {
		return
	}
	var list []candidate
	order := k.order()
	for _, key := range order {
		list = s.candidates(list, key)
	}
	list = onePerPod(list)
	out := s.settings(name, order)
	out.Endpoints = s.publishable(name, out.Framing, list)
	k.judge(out, list, s.emptied(order), now)
	k.built = out
}

// candidates adds what the slices of one Service name, each with its port.
func (s *state) candidates(list []candidate, key string) []candidate {
	svc := s.services[key]
	favoured := cmp.Or(s.o.Family, svc.family)
	var keys []string
	for k := range s.of[key] {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var problem error
	for _, sk := range keys {
		l := s.of[key][sk]
		if len(l.endpoints) == 0 {
			continue
		}
		port, err := portOf(svc, l)
		if err != nil {
			problem = err
			// A port that was added later makes a Service ambiguous; calls go where they went before.
			if port = s.lastPort[key]; !l.has(port) {
				s.each(key, func(k *named) { k.suspect(key, l.endpoints) })
				continue
			}
		}
		s.lastPort[key] = port
		for _, e := range l.endpoints {
			at, ok := join(e.addr, port)
			if !ok {
				problem = fmt.Errorf("its slice %s has the endpoint %q, which is no address", l.Name, clip(e.addr))
				continue
			}
			list = append(list, candidate{e, at, port, favoured == "" || l.family == favoured, svc})
		}
	}
	if problem != nil {
		s.bad++
		s.say(portProblem(key), "%v", problem)
	} else {
		delete(s.problems, portProblem(key))
	}
	return list
}

// pod is what tells endpoints apart: slices of two families name one pod twice, and a slice that is being emptied names
// what another one has already.
type pod struct {
	id   string // its UID; of what is no pod, the address
	port int32
}

// onePerPod keeps one address of every pod: of the favoured family, if it has one. What is on its way out in one slice
// is so in all of them: nothing comes back from that.
func onePerPod(list []candidate) []candidate {
	at := make(map[pod]int, len(list))
	loners := false // a favoured endpoint that is no pod, and serves
	out := list[:0]
	for _, c := range list {
		if c.uid == "" && c.favoured && c.state >= leaving {
			loners = true
		}
		id := pod{cmp.Or(c.uid, c.addr), c.port}
		i, twice := at[id]
		if !twice {
			at[id] = len(out)
			out = append(out, c)
			continue
		}
		have := &out[i]
		state := max(have.state, c.state)
		for _, t := range []condition{ending, leaving} {
			if have.state == t || c.state == t {
				state = t
				break
			}
		}
		if c.favoured && !have.favoured {
			*have = c
		}
		have.state = state
	}
	if loners { // the same machines once more, by their other addresses: there is no telling which belong together
		out = slices.DeleteFunc(out, func(c candidate) bool { return c.uid == "" && !c.favoured })
	}
	return out
}

// settings unites what the Services of a name say: the first that says something counts.
func (s *state) settings(name string, order []string) *registry.Service {
	out := &registry.Service{Name: name}
	for _, key := range order {
		out.Fill(&s.services[key].settings)
	}
	return out
}

// publishable are the endpoints that calls may go to: what is ready, or, when nothing is, what still serves.
func (s *state) publishable(name, framing string, list []candidate) []registry.Endpoint {
	least, n := ready, 0
	count := func(from condition) int {
		n := 0
		for i := range list {
			if list[i].state >= from {
				n++
			}
		}
		return n
	}
	if n = count(ready); n == 0 {
		least, n = leaving, count(leaving)
	}
	out := make([]registry.Endpoint, 0, n)
	for i := range list {
		c := &list[i]
		if c.state < least {
			continue
		}
		e := registry.Endpoint{
			Addr: c.at, Weight: c.service.weight, Zone: c.zone.Value(), Host: c.node.Value(), Version: c.service.version,
			Owner: c.uid, Terminating: c.state == leaving,
		}
		if f := c.service.settings.Framing; f != framing {
			e.Framing = f
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b registry.Endpoint) int {
		return cmp.Or(cmp.Compare(a.Addr, b.Addr), cmp.Compare(a.Owner, b.Owner))
	})
	out = slices.CompactFunc(out, func(a, b registry.Endpoint) bool { return a.Addr == b.Addr })
	if len(out) > s.o.MaxPerService {
		s.refused++
		for key := range s.names[name].services {
			s.say(key, "the service %s has %d endpoints; %d, the bound, are used", clip(name), len(out), s.o.MaxPerService)
		}
		out = out[:s.o.MaxPerService]
	}
	return out
}

// emptiness says of the slices of one Service and family whether they are there and name nobody. Kubernetes' controller
// keeps an empty slice only where there is no endpoint at all.
type emptiness struct{ service, family string }

func (s *state) emptied(order []string) map[emptiness]bool {
	out := make(map[emptiness]bool, len(order))
	for _, key := range order {
		if len(s.of[key]) == 0 {
			out[emptiness{key, ""}] = false // nothing is known of it
		}
		for _, l := range s.of[key] {
			at := emptiness{key, l.family}
			if was, more := out[at]; !more || was {
				out[at] = len(l.endpoints) == 0
			}
		}
	}
	return out
}

func familyOf(addr string) string {
	a, err := netip.ParseAddr(hostOf(addr))
	switch {
	case err != nil:
		return string(discoveryv1.AddressTypeFQDN)
	case a.Is4():
		return string(discoveryv1.AddressTypeIPv4)
	}
	return string(discoveryv1.AddressTypeIPv6)
}

// judge says of each endpoint that is not published any more whether it is known to be gone.
func (k *named) judge(next *registry.Service, list []candidate, emptied map[emptiness]bool, now time.Time) {
	seen := make(map[string]condition, len(list))
	for i := range list {
		seen[list[i].at] = list[i].state
	}
	is := make(map[string]bool, len(next.Endpoints))
	for i := range next.Endpoints {
		is[next.Endpoints[i].Addr] = true
	}
	if k.built != nil {
		for i := range k.built.Endpoints {
			if addr := k.built.Endpoints[i].Addr; !is[addr] {
				k.miss(addr, seen, now)
			}
		}
	}
	for addr, l := range k.lost {
		c, named := seen[addr]
		scaled := !named && !k.past && emptied[emptiness{l.service, familyOf(addr)}]
		_, vanished := k.vanished[hostOf(addr)]
		switch {
		case is[addr]:
			delete(k.lost, addr)
		case named && c.going(), scaled, l.down && !named && !vanished: // on its way out, or taken out
			delete(k.lost, addr)
			k.sure = true
		case named:
			k.lost[addr] = loss{now, l.service, true}
		case now.Sub(l.at) > doubt:
			delete(k.lost, addr)
		case l.down: // it was down when its slice vanished
			k.lost[addr] = loss{l.at, k.vanished[hostOf(addr)], false}
		}
	}
	all := len(emptied) > 0 && !k.past
	for _, none := range emptied {
		all = all && none
	}
	k.sure = k.sure || all // scaled to nothing
	clear(k.vanished)
}

// miss judges one endpoint that was published and is not any more.
func (k *named) miss(addr string, seen map[string]condition, now time.Time) {
	c, named := seen[addr]
	service, vanished := k.vanished[hostOf(addr)]
	switch {
	case named && !c.going(): // it is there, and does not serve: it may again
		k.lost[addr] = loss{now, service, true}
	case !named && vanished:
		k.lost[addr] = loss{now, service, false}
	default: // it is on its way out, or its slice or its Service was changed
		k.sure = true
	}
}

// going says whether there is no way back from a condition.
func (c condition) going() bool { return c == ending || c == leaving }

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}
