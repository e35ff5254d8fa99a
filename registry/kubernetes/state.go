package kubernetes

import (
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/bellhop-mesh/bellhop/registry"
)

// state is what the watches have told, and what comes of it. Safe for concurrent use.
type state struct {
	o   *Options
	now func() time.Time

	mu        sync.Mutex                   // guards what follows
	services  map[string]*kubeService      // in force, by namespace/name: a bad one does not replace a good one
	slices    map[string]*slice            // by namespace/name
	of        map[string]map[string]*slice // the slices of a Service, by the Service's namespace/name
	names     map[string]*named            // by Thrift name; "": the remote proxies
	dirty     map[string]bool              // Thrift names to be built again
	problems  map[string]string            // of Services, by namespace/name: as said last
	lastPort  map[string]int32             // of Services, by namespace/name: where they were called last
	versions  map[*resource]string         // the resourceVersion of each watch's last listing
	endpoints int                          // in slices
	refused   uint64                       // objects beyond a bound
	bad       uint64                       // versions of Services that could not be used
}

// named is one Thrift service: what is published of it, and how sure it is that what is missing is gone.
type named struct {
	services map[string]bool // namespace/name of those behind it
	built    *registry.Service
	since    time.Time // when the last Service behind it went; zero: there is one

	// Evidence. vanished are addresses (without ports) that went in a way that says nothing of their pods, with the Service
	// (namespace/name) whose they were; lost are endpoints that were published, went so, and have not come back.
	vanished map[string]string
	lost     map[string]loss
	sure     bool // something went in a way that says that it is gone, and nothing says the contrary since
	past     bool // its slices are as they were once: the API server was restored
}

// loss is an endpoint that is missing, and not known to be gone.
type loss struct {
	at      time.Time
	service string // whose slice it was in, as namespace/name
	down    bool   // it is still named, as not ready
}

// The times that nobody needs to set.
const (
	// doubt is how long an endpoint that went without evidence keeps others from being called gone. By then the manager
	// has judged it.
	doubt = 10 * time.Minute
	// remembered is how long a name without a Service is still said to be gone. An update may be overtaken by the next.
	remembered = 10 * time.Minute
)

func newState(o *Options) *state {
	return &state{
		o: o, now: time.Now, services: map[string]*kubeService{}, slices: map[string]*slice{}, of: map[string]map[string]*slice{},
		names: map[string]*named{}, dirty: map[string]bool{}, problems: map[string]string{},
		lastPort: map[string]int32{}, versions: map[*resource]string{},
	}
}

// setService takes a Service as it is now.
func (s *state) setService(n *kubeService) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putService(n)
}

func (s *state) putService(n *kubeService) {
	key := n.key()
	old := s.services[key]
	if old != nil && old.ResourceVersion == n.ResourceVersion && n.ResourceVersion != "" {
		return
	}
	if n.problem != nil {
		s.bad++
		stands := "it is left out"
		if old != nil {
			stands = "what it said before stands"
		}
		s.say(key, "%s (%v)", stands, n.problem)
		return
	}
	if old == nil && len(s.services) >= s.o.MaxServices {
		s.refused++
		s.say(key, "it is left out: there are %d Services already, the bound", s.o.MaxServices)
		return
	}
	if len(n.unknown) > 0 {
		s.say(key, "it is used, but nobody here knows the annotations %v", n.unknown[:min(len(n.unknown), 8)])
	} else {
		delete(s.problems, key)
	}
	s.services[key] = n
	if old != nil {
		for _, name := range old.names {
			if !slices.Contains(n.names, name) {
				s.leave(name, key, true)
			}
		}
	}
	for _, name := range n.names {
		k := s.names[name]
		if k == nil {
			k = &named{services: map[string]bool{}, vanished: map[string]string{}, lost: map[string]loss{}}
			s.names[name] = k
		}
		k.services[key], k.since = true, time.Time{}
		s.dirty[name] = true
	}
}

// leave takes a Service from a Thrift name. told: the API server said so; it is not only missing from a listing.
func (s *state) leave(name, key string, told bool) {
	k := s.names[name]
	if k == nil || !k.services[key] {
		return
	}
	delete(k.services, key)
	s.dirty[name] = true
	if !told {
		k.sure = false
		for _, l := range s.of[key] {
			k.suspect(key, l.endpoints)
		}
	}
	if len(k.services) == 0 {
		k.since = s.now()
		if told {
			k.sure = true
			clear(k.lost)
			clear(k.vanished)
		}
	}
}

func (k *named) suspect(service string, list []endpoint) {
	for i := range list {
		k.vanished[list[i].addr] = service
	}
}

// removeService takes a Service away that the API server said was deleted, or was not selected any more.
func (s *state) removeService(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropService(key, true)
}

// dropService takes a Service away. told is as in leave.
func (s *state) dropService(key string, told bool) {
	delete(s.problems, key)
	delete(s.problems, portProblem(key))
	delete(s.lastPort, key)
	old := s.services[key]
	if old == nil {
		return
	}
	for _, name := range old.names {
		s.leave(name, key, told)
	}
	delete(s.services, key)
}

// replaceServices takes a listing. One that was known and is not in it was not seen to go: that is weak evidence. An API
// server that was restored from a backup, or answers while its store is not whole yet, lists less than there is.
func (s *state) replaceServices(watch *resource, list []*kubeService, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions[watch] = version
	there := make(map[string]bool, len(list))
	for _, n := range list {
		there[n.key()] = true
	}
	for key, old := range s.services {
		if !there[key] && watch.covers(old.Namespace) {
			s.dropService(key, false)
		}
	}
	for _, n := range list {
		runtime.Gosched()
		s.putService(n)
	}
}

// setSlice takes a slice as it is now.
func (s *state) setSlice(n *slice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putSlice(n, true)
}

// putSlice takes a slice. told: what it does not name any more, its controller took away.
func (s *state) putSlice(n *slice, told bool) {
	key := n.key()
	old := s.slices[key]
	before := 0
	if old != nil {
		before = len(old.endpoints)
	}
	if n.service == "" || s.endpoints-before+len(n.endpoints) > s.o.MaxEndpoints {
		if n.service != "" {
			s.refused++
			s.say(n.owner(), "its slice %s is left out: there are %d endpoints already, the bound is %d", n.Name, s.endpoints, s.o.MaxEndpoints)
		}
		s.dropSlice(key, false)
		return
	}
	if old != nil && old.service != n.service {
		s.dropSlice(key, true) // it was given to another Service
		old, before = nil, 0
	}
	s.each(n.owner(), func(k *named) {
		k.past = !told
		if old != nil && !told {
			k.suspect(n.owner(), old.endpoints)
		}
	})
	s.slices[key] = n
	if s.of[n.owner()] == nil {
		s.of[n.owner()] = map[string]*slice{}
	}
	s.of[n.owner()][key] = n
	s.endpoints += len(n.endpoints) - before
	s.touch(n.owner())
}

// removeSlice takes a slice away. While its Service stands, that says nothing of the pods that it named: its controller
// may have moved them to another one, and somebody may have deleted it by mistake.
func (s *state) removeSlice(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropSlice(key, false)
}

func (s *state) dropSlice(key string, told bool) {
	old := s.slices[key]
	if old == nil {
		return
	}
	if !told {
		s.each(old.owner(), func(k *named) { k.suspect(old.owner(), old.endpoints) })
	}
	delete(s.slices, key)
	if delete(s.of[old.owner()], key); len(s.of[old.owner()]) == 0 {
		delete(s.of, old.owner())
	}
	s.endpoints -= len(old.endpoints)
	s.touch(old.owner())
}

// replaceSlices takes a listing. A slice that is in it and names less than before was changed by its controller while
// nobody looked, unless the listing is older than what is known: then the API server went back in time.
func (s *state) replaceSlices(watch *resource, list []*slice, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	forward := true
	if last := s.versions[watch]; last != "" {
		if order, err := resourceversion.CompareResourceVersion(version, last); err == nil && order < 0 {
			forward = false
			s.o.Log.Warn("the API server lists what it knew before: it was restored; what is missing is not taken to be gone", "resource", "endpointslices")
		}
	}
	s.versions[watch] = version
	there := make(map[string]bool, len(list))
	for _, n := range list {
		there[n.key()] = true
	}
	for key, old := range s.slices {
		if !there[key] && watch.covers(old.Namespace) {
			s.dropSlice(key, false)
		}
	}
	for _, n := range list {
		if old := s.slices[n.key()]; old == nil || old.ResourceVersion != n.ResourceVersion {
			s.putSlice(n, forward)
		}
	}
}

// each calls f for the Thrift names behind a Service.
func (s *state) each(service string, f func(*named)) {
	if k := s.services[service]; k != nil {
		for _, name := range k.names {
			f(s.names[name])
		}
	}
}

// touch has the Thrift names behind a Service built again.
func (s *state) touch(service string) {
	if k := s.services[service]; k != nil {
		for _, name := range k.names {
			s.dirty[name] = true
		}
	}
}

// say logs what is wrong with a Service, once until it changes. The memory of it has a bound, too.
func (s *state) say(key, format string, args ...any) {
	text := clip(fmt.Sprintf(format, args...))
	if s.problems[key] == text || len(s.problems) >= 2*s.o.MaxServices && s.problems[key] == "" {
		return
	}
	s.problems[key] = text
	s.o.Log.Warn("a Service has a problem", slog.String("service", strings.TrimPrefix(key, portProblem(""))), slog.String("problem", text))
}

// portProblem is the key of what is wrong with a Service's port, which its slices tell and not itself.
func portProblem(key string) string { return "port of " + key }

// update builds what changed, and returns everything that is known. What it returns is not changed any more.
func (s *state) update() registry.Update {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for name := range s.dirty {
		runtime.Gosched() // as registry.Manager: event loops need the CPU
		s.build(name, now)
	}
	clear(s.dirty)
	u := registry.Update{Services: make(map[string]*registry.Service, len(s.names)), Final: make(map[string]bool, len(s.names))}
	for name, k := range s.names {
		if k.since.IsZero() || name == "" {
			u.Services[name] = k.built
		} else if now.Sub(k.since) > remembered {
			delete(s.names, name)
			continue
		}
		if k.final() {
			u.Final[name] = true
		}
	}
	if r := u.Services[""]; r != nil {
		u.Remotes = make([]registry.Remote, 0, len(r.Endpoints))
		for i := range r.Endpoints {
			e := &r.Endpoints[i]
			u.Remotes = append(u.Remotes, registry.Remote{Addr: e.Addr, Zone: e.Zone, Weight: e.Weight})
		}
	}
	delete(u.Services, "")
	delete(u.Final, "")
	return u
}

// final says whether everything that is not published of a name is known to be gone.
func (k *named) final() bool { return k.sure && len(k.lost) == 0 }

// of which Services a name is made, in the order in which their settings count.
func (k *named) order() []string { return slices.Sorted(maps.Keys(k.services)) }
