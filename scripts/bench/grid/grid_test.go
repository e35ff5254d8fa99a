package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bellhop-mesh/bellhop/scripts/bench/targets"
)

func TestGrid(t *testing.T) {
	axes, err := choose("")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range axes {
		if len(a.points) < 2 || len(a.labels) != len(a.points) {
			t.Errorf("%s: %d points, %d labels", a.name, len(a.points), len(a.labels))
		}
	}
	points := distinct(axes)
	if points[2] != base || len(points) != 14 { // 5 + 4 + 2 + 3 + 2 + 2 less the base point's four repetitions
		t.Errorf("%d points: %v", len(points), points)
	}
	if some, err := choose("payload,socket"); err != nil || len(some) != 2 || some[1].name != "socket" {
		t.Errorf("%v, %v", some, err)
	}
	if _, err := choose("payload,sockets"); err == nil || !strings.Contains(err.Error(), `"sockets"`) {
		t.Errorf("got %v", err)
	}
}

// made are three rounds at the base point; the machine is half as fast in the second.
func made() outcome {
	all := outcome{Rounds: 3, Absent: map[string]string{"nginx at " + base.String(): "could not be had on this machine"}}
	for round, slow := range []float64{1, 2, 1} {
		add := func(peer string, us, rate, p99, generator float64) {
			s := sample{
				Peer: peer, Point: base, Round: round + 1, ProxyUS: us * slow, CallsPerSecond: 50000 / slow,
				ProxyCores: 0.95, LoadCores: generator, PeakRSS: 15e6,
			}
			all.Samples = append(all.Samples, s)
			s.Rate, s.CallsPerSecond, s.Latency = 25000, rate, quantile{P50: 10, P99: p99 * slow, P999: 900}
			all.Samples = append(all.Samples, s)
		}
		add("direct", 0, 25000, 100, 0.99)
		add("haproxy", 10, 25000, 150, 0.5)
		add("bellhop-mux", 5, 24900, 130, 0.96)
		add("bellhop-excl", 12, 20000, 130, 0.5)
		all.Samples = append(all.Samples, sample{Peer: "envoy", Point: base, Round: round + 1, Err: "calls failed:\n lost | 3"})
	}
	return all
}

func TestRows(t *testing.T) {
	all := made()
	for peer, want := range map[string]string{
		"direct":       "– | – | – | – | 50000 | generator-bound: 0.99 cores; generator and server 19.8 µs a call | (10) | (100) | (900) | –",
		"haproxy":      "10.00 | 10.00–20.00 | 1.00 | 100000 | 50000 | proxy: 0.95 cores; generator and server 10.0 µs a call | 0 | 50 | 0 | 15.0",
		"bellhop-mux":  "5.00 | 5.00–10.00 | 0.50 | 200000 | 50000 | generator-bound: 0.96 cores; generator and server 19.2 µs a call | 0 | 30 | 0 | 15.0",
		"bellhop-excl": "12.00 | 12.00–24.00 | 1.20 | 83333 | 50000 | proxy: 0.95 cores; generator and server 10.0 µs a call | not kept | not kept | not kept | 15.0",
		"nginx":        "could not be had on this machine | – | – | – | – | – | – | – | – | –",
		"envoy":        "failed: calls failed:  lost / 3 | – | – | – | – | – | – | – | – | –",
	} {
		if got := strings.Join(row(peer, base, all), " | "); got != want {
			t.Errorf("%s:\n%s, want\n%s", peer, got, want)
		}
	}
}

const (
	beginMark = "<!-- bench:begin (written by make bench) -->"
	endMark   = "<!-- bench:end -->"
)

// TestPublish: the page changes between its marks only, and everything that it shows is written.
func TestPublish(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "README.md")
	axes, err := choose("socket")
	if err != nil {
		t.Fatal(err)
	}
	if err := publish(dir, axes, made()); err == nil {
		t.Error("a page that is not there was written")
	}
	if err := os.WriteFile(page, []byte("before\n"+beginMark+"\nold\n"+endMark+"\nafter\n<!-- targets:begin -->\n<!-- targets:end -->\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := publish(dir, axes, made()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(page)
	text := string(b)
	if err != nil || !strings.HasPrefix(text, "before\n"+beginMark) || !strings.Contains(text, endMark+"\nafter\n") || strings.Contains(text, "old") {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, rest := range strings.Split(text, "](")[1:] {
		name, _, _ := strings.Cut(rest, ")")
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("the page names %s: %v", name, err)
		}
	}
	if _, err := targets.Between("no marks", "bench", "x"); err == nil {
		t.Error("a page without marks was taken")
	}
}

// TestTargets: what has a target is computed from the samples, and what was not measured says why.
func TestTargets(t *testing.T) {
	all := made()
	for round := range 3 {
		p := judgedPoints()[2]
		all.Samples = append(all.Samples, sample{Peer: "haproxy", Point: p, Round: round + 1, CallsPerSecond: 100},
			sample{Peer: "bellhop-excl", Point: p, Round: round + 1, CallsPerSecond: 110 + float64(round)})
	}
	f := targetsOf(all)
	for key, want := range map[string][]float64{"p99-mux": {0.6}, "p99-excl": {0.6}, "percall-unix": {1.1, 1.11, 1.12}} {
		if got := f.Values[key]; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", key, got, want)
		}
	}
	for _, key := range []string{"envoy-excl", "envoy-mux", "percall-tcp"} {
		if f.Absent[key] == "" {
			t.Errorf("%s: %v, want a reason why there is none", key, f.Values[key])
		}
	}
	if roundsAt(base, 3) != judgedRounds || roundsAt(with(func(p *point) { p.Workers = 2 }), 3) != 3 {
		t.Error("the points of the targets have as few rounds as the others")
	}
}
