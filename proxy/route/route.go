// Package route turns a registry snapshot into the immutable table that every call is looked up in. The whole table is
// rebuilt and swapped at each change; a bad service is reported and left as it was in the table before.
//
//	*registry.Snapshot + previous *Table ─► Compile ─► *Table ─► Lookup(service) ─► *cluster.Cluster
package route

import (
	"errors"
	"sort"

	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/registry"
)

// Table maps service names to clusters. Immutable, safe for concurrent use.
type Table struct {
	Version  uint64
	Remotes  *cluster.Cluster // the remote proxy cluster; never nil, perhaps without endpoints
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
	t := &Table{Version: s.Version, services: make(map[string]*cluster.Cluster, len(s.Services))}
	var errs []error
	for name, svc := range s.Services {
		c, err := cluster.New(svc, o.Workers, o.Locality, o.Defaults, reuser(prev.Lookup([]byte(name))))
		if err != nil {
			errs = append(errs, err)
			if c = prev.Lookup([]byte(name)); c == nil {
				continue
			}
		}
		t.services[name] = c
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
	return t, errors.Join(errs...)
}

func reuser(old *cluster.Cluster) func(*cluster.Endpoint) *cluster.Endpoint {
	if old == nil {
		return func(*cluster.Endpoint) *cluster.Endpoint { return nil }
	}
	have := make(map[string]*cluster.Endpoint, len(old.Endpoints()))
	for _, e := range old.Endpoints() {
		have[e.Key()] = e
	}
	return func(e *cluster.Endpoint) *cluster.Endpoint { return have[e.Key()] }
}

// Lookup finds a service. nil: not known. A nil table knows none. It does not allocate.
func (t *Table) Lookup(service []byte) *cluster.Cluster {
	if t == nil {
		return nil
	}
	return t.services[string(service)]
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
