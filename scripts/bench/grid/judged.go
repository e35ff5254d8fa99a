package main

import (
	"fmt"
	"slices"

	"github.com/bellhop-mesh/bellhop/scripts/bench/targets"
	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// What of the grid has a target in the catalogue.

// judgedRounds is the least number of rounds at a point that a target is taken from.
const judgedRounds = 7

// judgedPoints are those points: the base point, and a connection for every call on both kinds of socket.
func judgedPoints() []point {
	return []point{
		base, with(func(p *point) { p.PerCall = true }), with(func(p *point) { p.PerCall, p.Network = true, "unix" }),
	}
}

func roundsAt(p point, rounds int) int {
	if slices.Contains(judgedPoints(), p) {
		return max(rounds, judgedRounds)
	}
	return rounds
}

// targetsOf computes the values of all targets that were measured, and says why others were not.
func targetsOf(all outcome) targets.File {
	f := targets.File{
		Begun: all.Begun, Bellhop: all.Machine.Versions["bellhop"], Machine: prove.Machine(), Values: map[string][]float64{}, Absent: map[string]string{},
	}
	set := func(key string, values []float64, why string) {
		if len(values) > 0 {
			f.Values[key] = values
		} else {
			f.Absent[key] = why
		}
	}
	at := func(peer string, p point, open bool) []sample { return of(all.Samples, peer, p, open) }
	cost := func(x, y sample) float64 { return x.ProxyUS / max(y.ProxyUS, 1e-9) }
	for key, peer := range map[string]string{"envoy-excl": "bellhop-excl", "envoy-mux": "bellhop-mux"} {
		set(key, ratios(at(peer, base, false), at("envoy", base, false), cost), "Envoy could not be had, or was not measured at the base point")
	}
	rate := func(x, y sample) float64 { return x.CallsPerSecond / max(y.CallsPerSecond, 1e-9) }
	for key, p := range map[string]point{"percall-tcp": judgedPoints()[1], "percall-unix": judgedPoints()[2]} {
		set(key, ratios(at("bellhop-excl", p, false), at("haproxy", p, false), rate), "not measured with a connection for every call")
	}
	for key, peer := range map[string]string{"p99-mux": "bellhop-mux", "p99-excl": "bellhop-excl"} {
		v, why := addedP99(at(peer, base, true), at("haproxy", base, true), at("direct", base, true))
		set(key, v, why)
	}
	return f
}

// addedP99 is one value: the median of what a peer adds, to the median of what HAProxy adds. In single rounds either
// difference may be about nothing, and their ratio anything.
func addedP99(peer, haproxy, direct []sample) (value []float64, why string) {
	more := func(x, y sample) float64 { return x.Latency.P99 - y.Latency.P99 }
	ours, theirs := against(peer, direct, more), against(haproxy, direct, more)
	switch {
	case len(peer) == 0 || len(haproxy) == 0 || len(direct) == 0:
		return nil, "not measured at half of HAProxy's rate"
	case theirs.Mid <= 0:
		return nil, fmt.Sprintf("HAProxy added nothing that could be measured (%.0f µs)", theirs.Mid)
	}
	return []float64{ours.Mid / theirs.Mid}, ""
}
