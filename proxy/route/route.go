// Package route turns a registry snapshot into the immutable table that every call is looked up in. The whole table is
// rebuilt and swapped at each change; a bad service is reported and left as it was in the table before.
//
//	*registry.Snapshot + previous *Table ─► Compile ─► *Table ─► Lookup(service) ─► *cluster.Cluster
package route

import (
	"errors"
	"runtime"
	"sort"

	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/registry"
)

// Table maps service names to clusters. Immutable, safe for concurrent use.
type Table struct {
	Version  uint64
	Remotes  *cluster.Cluster // the remote proxy cluster; never nil, perhaps without endpoints
	serial   uint64           // 1, 2, …: one more than that of the table it was compiled after
	services map[string]*cluster.Cluster
}

// Options are what Compile needs besides the snapshot.
type Options struct {
	Workers  int
	Locality cluster.Locality
	Defaults cluster.Defaults
	// OrderRemotes puts the remote proxies into this host's order of preference; nil keeps the snapshot's.
	OrderRemotes func([]registry.Remote) []registry.Remote
}

// Empty returns a table without services.
func Empty(o Options) *Table {
	t, _ := Compile(&registry.Snapshot{}, nil, o) //nolint:errcheck // an empty snapshot has nothing that could be wrong
	return t
}

// Compile builds a table. Endpoints that stood in prev (may be nil) are taken over with their state. The error joins
// what was wrong with single services; the table is usable all the same: those services stay as they were in prev.
func Compile(s *registry.Snapshot, prev *Table, o Options) (*Table, error) {
	t := &Table{Version: s.Version, serial: 1, services: make(map[string]*cluster.Cluster, len(s.Services))}
	if prev != nil {
		t.serial = prev.serial + 1
	}
	var errs []error
	for name, svc := range s.Services {
		runtime.Gosched() // an event loop may need this CPU: many services are milliseconds of work
		old := prev.service(name)
		c := old
		if !old.Compiled(svc) {
			var err error
			if c, err = cluster.New(svc, o.Workers, o.Locality, o.Defaults, reuser(old)); err != nil {
				errs = append(errs, err)
				c = old
			}
			c.CarryViews(old)
		}
		if c != nil {
			t.add(name, c)
		}
	}
	remotes := s.Remotes
	if o.OrderRemotes != nil {
		remotes = o.OrderRemotes(remotes)
	}
	var old *cluster.Cluster
	if prev != nil {
		old = prev.Remotes
	}
	t.Remotes = cluster.NewRemotes(remotes, o.Workers, o.Defaults, reuser(old))
	t.enter(t.Remotes)
	return t, errors.Join(errs...)
}

func (t *Table) add(name string, c *cluster.Cluster) {
	t.services[name] = c
	t.enter(c)
}

func (t *Table) enter(c *cluster.Cluster) {
	for _, e := range c.Endpoints() {
		e.Enter(t.serial)
	}
}

// Holds reports whether an endpoint of the table before is in this one too. It costs no look-up. Safe for concurrent use.
func (t *Table) Holds(e *cluster.Endpoint) bool { return e.In(t.serial) }

func reuser(old *cluster.Cluster) func(*cluster.Endpoint) *cluster.Endpoint {
	if old == nil {
		return func(*cluster.Endpoint) *cluster.Endpoint { return nil }
	}
	var have map[cluster.Key]*cluster.Endpoint // of all but those that stand where they stood, which is the usual case
	at, all := 0, old.Endpoints()
	return func(e *cluster.Endpoint) *cluster.Endpoint {
		key := e.Key()
		if at < len(all) && all[at].Key() == key {
			at++
			return all[at-1]
		}
		if have == nil {
			have = make(map[cluster.Key]*cluster.Endpoint, len(all))
			for _, e := range all {
				have[e.Key()] = e
			}
		}
		return have[key]
	}
}

// Lookup finds a service. nil: not known. A nil table knows none. It does not allocate.
func (t *Table) Lookup(service []byte) *cluster.Cluster {
	if t == nil {
		return nil
	}
	return t.services[string(service)]
}

func (t *Table) service(name string) *cluster.Cluster {
	if t == nil {
		return nil
	}
	return t.services[name]
}

// Names returns the services, sorted.
func (t *Table) Names() []string {
	names := make([]string, 0, len(t.services))
	for n := range t.services {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}
