package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/bench/targets"
	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// ratios are those of the last line, in its order: the CPU per call of a path by that of another. The keys are those of
// the targets.
var ratios = []struct{ key, path, base string }{
	{"tcp64", "bellhop-mux-tcp64", "haproxy-tcp64"},
	{"unix64", "bellhop-mux-unix64", "haproxy-unix64"},
	{"excl64", "bellhop-excl-tcp64", "haproxy-tcp64"},
	{"tcp1", "bellhop-excl-tcp1", "haproxy-tcp1"},
}

// of collects one figure of a path over all rounds.
func of(all []result, path string, figure func(result) float64) []float64 {
	var v []float64
	for _, r := range all {
		if r.Path == path {
			v = append(v, figure(r))
		}
	}
	return v
}

// cpuRatios are the ratios within the rounds: both of a round ran within seconds of each other, so what else the machine
// was doing is in both.
func cpuRatios(all []result, path, base string) (v []float64) {
	for _, r := range all {
		for _, b := range all {
			if r.Path == path && b.Path == base && r.Round == b.Round && b.ProxyUS > 0 {
				v = append(v, r.ProxyUS/b.ProxyUS)
			}
		}
	}
	return v
}

// values are what was measured, by target.
func values(all []result, allocs map[string]float64) map[string][]float64 {
	v := map[string][]float64{}
	for _, r := range ratios {
		v[r.key] = cpuRatios(all, r.path, r.base)
	}
	for _, n := range allocs {
		v["allocs"] = append(v["allocs"], n)
	}
	return v
}

// report prints what was measured, the ratios last, and returns how many targets were missed. An error: a target has no
// value.
func report(w io.Writer, paths []path, all []result, allocs map[string]float64, took time.Duration) (missed int, err error) {
	_, _ = fmt.Fprintf(w, "%d-byte echo, closed loop, medians of %d rounds; HAProxy nbthread 1, bellhop 1 worker; took %.0f s\n\n",
		size, len(all)/max(1, len(paths)), took.Seconds())
	prove.Columns(w, pathRows(paths, all))
	measured := values(all, allocs)
	rows := [][]string{{"figure", "target", "measured", "range", "ok"}}
	var line []string
	for _, key := range []string{"tcp64", "unix64", "excl64", "tcp1", "allocs"} {
		v, err := targets.Judge(key, measured[key])
		if err != nil {
			return missed, err
		}
		if !v.Met {
			missed++
		}
		rows = append(rows, []string{key + ": " + v.Figure, v.Aim(), v.Measured(), v.Range(), v.Word()})
		if key != "allocs" {
			line = append(line, fmt.Sprintf("%s=%.2f", key, v.Mid))
		}
	}
	_, _ = fmt.Fprintln(w)
	prove.Columns(w, rows)
	_, _ = fmt.Fprintf(w, "\n%s\n", strings.Join(line, " "))
	return missed, nil
}

// pathRows is the table of the paths.
func pathRows(paths []path, all []result) [][]string {
	rows := [][]string{{"path", "proxy CPU µs/call", "range", "calls/s", "p50 µs", "p99 µs", "generator µs", "server µs"}}
	for _, p := range paths {
		cpu := targets.Of(of(all, p.name, func(r result) float64 { return r.ProxyUS }))
		row := []string{p.name, fmt.Sprintf("%.2f", cpu.Mid), fmt.Sprintf("%.2f–%.2f", cpu.Low, cpu.High)}
		for _, f := range []struct {
			format string
			figure func(result) float64
		}{
			{"%.0f", func(r result) float64 { return r.CallsPerSecond }},
			{"%.0f", func(r result) float64 { return float64(r.P50) }},
			{"%.0f", func(r result) float64 { return float64(r.P99) }},
			{"%.2f", func(r result) float64 { return r.GeneratorUS }},
			{"%.2f", func(r result) float64 { return r.ServerUS }},
		} {
			row = append(row, fmt.Sprintf(f.format, targets.Of(of(all, p.name, f.figure)).Mid))
		}
		rows = append(rows, row)
	}
	return rows
}
