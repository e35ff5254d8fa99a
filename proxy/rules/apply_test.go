package rules

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// snapshot is what registries say in these tests.
func snapshot() *registry.Snapshot {
	return &registry.Snapshot{Version: 7, Services: map[string]*registry.Service{
		"demo.Greeter": {Name: "demo.Greeter", Timeout: time.Second, Idempotent: []string{"hello"}, Endpoints: []registry.Endpoint{
			{Addr: "10.1.0.7:9090", Weight: 100, Zone: "x", Version: "v1"},
			{Addr: "10.1.0.8:9090", Weight: 100, Host: "Node-7", Version: "v2", Labels: map[string]string{"track": "canary"}},
			{Addr: "[fd00:1::1]:9090", Weight: 100, Version: "v2"},
			{Addr: "box.example:9090", Weight: 100},
			{Addr: "unix:/run/x.sock", Weight: 100},
		}},
		"demo.Osp": {Name: "demo.Osp", Framing: "osp", Endpoints: []registry.Endpoint{{Addr: "10.2.0.1:1", Weight: 100}}},
		"other":    {Name: "other", Balancer: "random", Depth: 3, Endpoints: []registry.Endpoint{{Addr: "10.3.0.1:1", Weight: 100}}},
	}}
}

func parsed(t *testing.T, text string) *Rules {
	t.Helper()
	r, err := Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func applied(t *testing.T, text string) map[string]*registry.Service {
	t.Helper()
	return NewApplier(nil, quiet).Apply(snapshot(), parsed(t, text)).Services
}

func equalServices(a, b *registry.Snapshot) bool { return reflect.DeepEqual(a.Services, b.Services) }

// TestPrecedence: the exact name, then the longer beginning, then the shorter, then the registry, then the defaults.
func TestPrecedence(t *testing.T) {
	s := applied(t, `
version: 1
defaults: {timeout: 9s, balancer: p2c, max_pending: 9, depth: 9}
services:
  "*": {max_connections: 1, max_pending: 1, framing: framed-compact}
  demo.*: {max_connections: 2, oneway: [log]}
  demo.G*: {max_connections: 3, mode: per-call}
  demo.Greeter: {timeout: 5ms, idempotent: []}
`)
	g := s["demo.Greeter"]
	if g.Timeout != 5*time.Millisecond || g.Balancer != "p2c" || g.MaxConns != 3 || g.MaxPending != 1 || g.Depth != 9 || g.Mode != "per-call" ||
		g.Framing != "framed-compact" || len(g.Idempotent) != 0 || len(g.Oneway) != 1 {
		t.Errorf("demo.Greeter is %+v", g)
	}
	if o := s["other"]; o.Timeout != 9*time.Second || o.Balancer != "random" || o.MaxConns != 1 || o.Depth != 3 {
		t.Errorf("other is %+v", o)
	}
	osp := applied(t, "version: 1\ndefaults: {depth: 9, max_connections: 4}\n")["demo.Osp"]
	if osp.Depth != 0 || osp.MaxConns != 4 {
		t.Errorf("a depth is no default of OSP: %+v", osp)
	}
}

func weightsOf(s *registry.Service) string {
	out := ""
	for _, e := range s.Endpoints {
		out += fmt.Sprintf("%s=%d ", e.Addr, e.Weight)
	}
	return out
}

func TestWeights(t *testing.T) {
	const rest = "[fd00:1::1]:9090=100 box.example:9090=100 unix:/run/x.sock=100 "
	for rule, want := range map[string]string{
		"{match: {version: v2, labels: {track: canary}}, weight: 5}":                       "10.1.0.7:9090=100 10.1.0.8:9090=5 " + rest,
		"{match: {addr: '10.1.0.7:9090'}, weight: 0}":                                      "10.1.0.8:9090=100 " + rest,
		"{match: {version: v2}, weight: 7}, {match: {labels: {track: canary}}, weight: 0}": "10.1.0.7:9090=100 10.1.0.8:9090=7 [fd00:1::1]:9090=7 box.example:9090=100 unix:/run/x.sock=100 ",
		"{match: {version: v3}, weight: 0}":                                                "10.1.0.7:9090=100 10.1.0.8:9090=100 " + rest,
		"{match: {zone: b}, weight: 9}":                                                    "10.1.0.7:9090=100 10.1.0.8:9090=9 " + rest, // the zone of the rules
	} {
		s := applied(t, "version: 1\nzones: [{host: node-7, zone: b}]\nservices: {demo.Greeter: {weights: ["+rule+"]}}\n")["demo.Greeter"]
		if got := weightsOf(s); got != want {
			t.Errorf("%s: %s, want %s", rule, got, want)
		}
	}
	all := applied(t, "version: 1\nservices: {other: {weights: [{match: {addr: '10.3.0.1:1'}, weight: 0}]}}\n")["other"]
	if got := weightsOf(all); got != "10.3.0.1:1=100 " {
		t.Errorf("the last endpoint was left out: %q", got)
	}
}

func TestZones(t *testing.T) {
	s := applied(t, `
version: 1
zones:
  - {cidr: 10.0.0.0/8, zone: wide}
  - {cidr: 10.1.0.0/16, zone: a}
  - {cidr: "fd00:1::/32", zone: six}
  - {host: node-7, zone: b}
  - {host: BOX.example, zone: c}
  - {host: 10.3.0.1, zone: d}
services: {other: {prefer_zone: false}}
`)
	var got []string
	for _, e := range append(s["demo.Greeter"].Endpoints, append(s["demo.Osp"].Endpoints, s["other"].Endpoints...)...) {
		got = append(got, e.Zone)
	}
	if want := []string{"a", "b", "six", "c", "", "wide", "d"}; !reflect.DeepEqual(got, want) {
		t.Errorf("zones %q, want %q", got, want)
	}
	if !s["other"].AnyZone || s["demo.Greeter"].AnyZone {
		t.Error("prefer_zone: false is for its service only")
	}
}

// TestPointers: what did not change keeps its pointer, under the same rules and under others that say the same.
func TestPointers(t *testing.T) {
	a, snap := NewApplier(nil, quiet), snapshot()
	one := parsed(t, "version: 1\nservices: {demo.*: {timeout: 5ms}}\n")
	first := a.Apply(snap, one)
	if first.Services["other"] != snap.Services["other"] || first.Services["demo.Osp"] == snap.Services["demo.Osp"] || first.Version != 7 {
		t.Fatal("only what the rules speak of is another")
	}
	if snap.Services["demo.Osp"].Timeout != 0 {
		t.Fatal("the snapshot was written to")
	}
	next := *snap
	next.Services = map[string]*registry.Service{"demo.Osp": snap.Services["demo.Osp"], "demo.Greeter": {Name: "demo.Greeter"}}
	second := a.Apply(&next, one)
	if second.Services["demo.Osp"] != first.Services["demo.Osp"] || second.Services["demo.Greeter"] == first.Services["demo.Greeter"] {
		t.Error("after a change of one service")
	}
	third := a.Apply(&next, parsed(t, "version: 1\nservices: {demo.Osp: {timeout: 5ms}}\n"))
	if third.Services["demo.Osp"] != first.Services["demo.Osp"] || third.Services["demo.Greeter"] != next.Services["demo.Greeter"] {
		t.Error("after a change of the rules")
	}
	if a.Apply(&next, nil) != &next {
		t.Error("without rules the snapshot is another")
	}
}

// TestConflict: rules under which a service could not be called are not in force on it, and are told.
func TestConflict(t *testing.T) {
	a := NewApplier(func(s *registry.Service) error {
		if s.Mode == "multiplexed" {
			return errors.New("can't be")
		}
		return nil
	}, quiet)
	snap := snapshot()
	out := a.Apply(snap, parsed(t, "version: 1\nservices: {other: {mode: multiplexed}, demo.*: {timeout: 1s}}\n"))
	if out.Services["other"] != snap.Services["other"] || out.Services["demo.Osp"].Timeout != time.Second {
		t.Error("the conflict is not held to its service")
	}
	if got := a.Conflicts(); !reflect.DeepEqual(got, []Conflict{{"other", "can't be"}}) {
		t.Errorf("%+v", got)
	}
	if a.Apply(snap, parsed(t, "version: 1\n")); len(a.Conflicts()) != 0 {
		t.Error("the conflict stays")
	}
}

// BenchmarkApply: 2,000 services with 10 endpoints each; one of them changes.
func BenchmarkApply(b *testing.B) {
	snap := &registry.Snapshot{Services: map[string]*registry.Service{}}
	for i := range 2000 {
		s := &registry.Service{Name: fmt.Sprintf("team%d.Service%d", i%50, i)}
		for e := range 10 {
			s.Endpoints = append(s.Endpoints, registry.Endpoint{Addr: fmt.Sprintf("10.%d.%d.%d:9090", i/250, i%250, e+1), Weight: 100})
		}
		snap.Services[s.Name] = s
	}
	r, err := Parse("bench", []byte("version: 1\ndefaults: {timeout: 1s}\nservices: {team1.*: {timeout: 5ms}}\nzones: [{cidr: 10.1.0.0/16, zone: a}]\n"))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("new-rules", func(b *testing.B) {
		for b.Loop() {
			NewApplier(nil, quiet).Apply(snap, r)
		}
	})
	b.Run("one-service-changed", func(b *testing.B) {
		a := NewApplier(nil, quiet)
		a.Apply(snap, r)
		for b.Loop() {
			s := *snap.Services["team1.Service1"]
			snap.Services[s.Name] = &s
			a.Apply(snap, r)
		}
	})
}
