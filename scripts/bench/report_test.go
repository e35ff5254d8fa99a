package main

import (
	"bytes"
	"strings"
	"testing"
)

// made are three rounds; the machine is half as fast in the second.
func made() (paths []path, all []result) {
	for _, p := range allPaths() {
		paths = append(paths, p)
		cost := map[string][]float64{ // µs a call, by round
			"haproxy-tcp64": {10, 20, 10}, "bellhop-mux-tcp64": {5, 10, 5.5}, "bellhop-excl-tcp64": {12, 24, 11},
			"haproxy-unix64": {8, 16, 8}, "bellhop-mux-unix64": {4, 8, 4},
			"haproxy-tcp1": {20, 40, 20}, "bellhop-excl-tcp1": {21, 42, 22},
		}[p.name]
		for round := range 3 {
			all = append(all, result{Path: p.name, Round: round + 1, ProxyUS: cost[round], CallsPerSecond: 1000})
		}
	}
	return paths, all
}

func TestReport(t *testing.T) {
	paths, all := made()
	var b bytes.Buffer
	missed, err := report(&b, paths, all, map[string]float64{"multiplexed": 0.001, "exclusive": 0.27}, 0)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	want := "tcp64=0.50 unix64=0.50 excl64=1.20 tcp1=1.05"
	if got := lines[len(lines)-1]; got != want {
		t.Errorf("last line\n%s, want\n%s", got, want)
	}
	if missed != 3 { // unix64, excl64, allocations
		t.Errorf("%d targets missed, want 3\n%s", missed, b.String())
	}
	for _, want := range []string{"0.50–0.55", "≤ 1.15", "1.10–1.20", "≤ 0.0100"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// TestNothingMeasured: a figure that could not be measured must not look like one.
func TestNothingMeasured(t *testing.T) {
	paths, all := made()
	var b bytes.Buffer
	if _, err := report(&b, paths, all[:3], map[string]float64{"exclusive": 0}, 0); err == nil {
		t.Errorf("no error:\n%s", b.String())
	}
}
