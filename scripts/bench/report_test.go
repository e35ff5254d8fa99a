package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	paths := []path{{name: "haproxy-tcp"}, {name: "bellhop-mux-tcp"}, {name: "bellhop-excl-tcp"}, {name: "haproxy-unix"}, {name: "bellhop-mux-unix"}, {name: "bellhop-excl-unix"}}
	cost := map[string][]float64{ // µs a call, by round: the machine is half as fast in the second
		"haproxy-tcp": {10, 20, 10}, "bellhop-mux-tcp": {5, 10, 5.5}, "bellhop-excl-tcp": {12, 24, 11},
		"haproxy-unix": {8, 16, 8}, "bellhop-mux-unix": {4, 8, 4}, "bellhop-excl-unix": {8, 16, 8},
	}
	var all []result
	for round := range 3 {
		for _, p := range paths {
			all = append(all, result{Path: p.name, Round: round + 1, ProxyUS: cost[p.name][round], CallsPerSecond: 1000})
		}
	}
	var b bytes.Buffer
	missed := report(&b, paths, all, map[string]float64{"multiplexed": 0.001, "exclusive": 0.27}, 0)
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	want := "tcp_mux=0.50 tcp_excl=1.20 unix_mux=0.50 unix_excl=1.00 allocs_per_call=0.27"
	if got := lines[len(lines)-1]; got != want {
		t.Errorf("last line\n%s, want\n%s", got, want)
	}
	if missed != 3 { // tcp_excl, unix_mux, allocations
		t.Errorf("%d targets missed, want 3\n%s", missed, b.String())
	}
}
