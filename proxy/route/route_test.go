package route

import (
	"slices"
	"strings"
	"testing"

	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/registry"
)

func snapshot(services ...*registry.Service) *registry.Snapshot {
	s := &registry.Snapshot{Version: 1, Services: map[string]*registry.Service{}}
	for _, svc := range services {
		s.Services[svc.Name] = svc
	}
	return s
}

func service(name string, eps ...registry.Endpoint) *registry.Service {
	return &registry.Service{Name: name, Endpoints: eps}
}

var options = Options{Workers: 2, Defaults: cluster.Defaults{MaxConns: 4, MaxPending: 4, Depth: 8}}

func compile(t *testing.T, s *registry.Snapshot, prev *Table) *Table {
	t.Helper()
	table, err := Compile(s, prev, options)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// TestReuse: an endpoint that stays the same keeps its identity, and with it pools and balancer state; one whose weight,
// framing, mode or zone changed is new.
func TestReuse(t *testing.T) {
	base := registry.Endpoint{Addr: "e1:1", Weight: 50, Zone: "z"}
	first := compile(t, snapshot(service("A", base, registry.Endpoint{Addr: "e2:1"}), service("B", base)), nil)
	old := first.Lookup([]byte("A")).Endpoints()[0]
	change := func(f func(*registry.Endpoint)) *registry.Service {
		e := base
		f(&e)
		return service("A", e)
	}
	for _, c := range []struct {
		name string
		svc  *registry.Service
		same bool
	}{
		{"nothing", change(func(*registry.Endpoint) {}), true},
		{"timeout of the service", &registry.Service{Name: "A", Timeout: 1, Balancer: "p2c", Endpoints: []registry.Endpoint{base}}, true},
		{"weight", change(func(e *registry.Endpoint) { e.Weight = 51 }), false},
		{"zone", change(func(e *registry.Endpoint) { e.Zone = "y" }), false},
		{"framing", change(func(e *registry.Endpoint) { e.Framing = "framed-compact" }), false},
		{"address", change(func(e *registry.Endpoint) { e.Addr = "e1:2" }), false},
		{"mode", &registry.Service{Name: "A", Mode: "multiplexed", Endpoints: []registry.Endpoint{base}}, false},
		{"seqid", &registry.Service{Name: "A", SeqID: "positional", Endpoints: []registry.Endpoint{base}}, false},
		{"framing of the service", &registry.Service{Name: "A", Framing: "osp", Endpoints: []registry.Endpoint{base}}, false},
	} {
		got := compile(t, snapshot(c.svc), first).Lookup([]byte("A")).Endpoints()[0]
		if (got == old) != c.same {
			t.Errorf("%s changed: the same endpoint %t, want %t", c.name, got == old, c.same)
		}
	}
	if first.Lookup([]byte("B")).Endpoints()[0] == old {
		t.Error("two services share an endpoint: their calls would share connections and limits")
	}
}

// TestBadService: what is wrong with one service is told, that service stays as it was, and the others change.
func TestBadService(t *testing.T) {
	first := compile(t, snapshot(service("A", registry.Endpoint{Addr: "a1:1"}), service("B", registry.Endpoint{Addr: "b1:1"})), nil)
	bad := service("A", registry.Endpoint{Addr: "a2:1"})
	bad.Mode = "sometimes"
	worse := service("C", registry.Endpoint{Addr: "c1:1", Framing: "morse"})
	table, err := Compile(snapshot(bad, worse, service("B", registry.Endpoint{Addr: "b2:1"})), first, options)
	if err == nil || !strings.Contains(err.Error(), "sometimes") || !strings.Contains(err.Error(), "morse") {
		t.Fatalf("the error does not name what was wrong: %v", err)
	}
	if table.Lookup([]byte("A")) != first.Lookup([]byte("A")) {
		t.Error("the bad service did not stay as it was")
	}
	if got := table.Lookup([]byte("B")).Endpoints()[0].Addr; got != "b2:1" {
		t.Errorf("the good service has %s", got)
	}
	if table.Lookup([]byte("C")) != nil {
		t.Error("a bad service without a past is known")
	}
}

// TestRemotes: remote proxies keep their identity too, stand in this host's order, and are never nil.
func TestRemotes(t *testing.T) {
	if r := Empty(options).Remotes; r == nil || len(r.Endpoints()) != 0 {
		t.Fatalf("an empty table has remotes %v", r)
	}
	s := snapshot()
	s.Remotes = []registry.Remote{{Addr: "r1:1"}, {Addr: "r2:1"}}
	o := options
	o.OrderRemotes = func(r []registry.Remote) []registry.Remote {
		r = slices.Clone(r)
		slices.Reverse(r)
		return r
	}
	first, err := Compile(s, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Compile(s, first, o)
	if err != nil {
		t.Fatal(err)
	}
	a, b := first.Remotes.Endpoints(), second.Remotes.Endpoints()
	if len(a) != 2 || a[0].Addr != "r2:1" || !slices.Equal(a, b) || !a[0].Remote {
		t.Fatalf("got %v, then %v", a, b)
	}
}

// TestLookup: nothing is found in no table, names are sorted, and a look-up does not allocate.
func TestLookup(t *testing.T) {
	var none *Table
	if none.Lookup([]byte("A")) != nil {
		t.Error("no table knows a service")
	}
	table := compile(t, snapshot(service("B"), service("A"), service("C")), nil)
	if got := strings.Join(table.Names(), ""); got != "ABC" {
		t.Errorf("names: %s", got)
	}
	name := []byte("B")
	if n := testing.AllocsPerRun(100, func() { table.Lookup(name) }); n != 0 {
		t.Errorf("a look-up allocates %v times", n)
	}
}
