package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// targets are the ratios of CPU per call that are to be reached, bellhop's by HAProxy's.
var targets = []struct {
	key, path, base string
	max             float64
}{
	{"tcp_mux", "bellhop-mux-tcp", "haproxy-tcp", 0.55},
	{"tcp_excl", "bellhop-excl-tcp", "haproxy-tcp", 1.15},
	{"unix_mux", "bellhop-mux-unix", "haproxy-unix", 0.45},
	{"unix_excl", "bellhop-excl-unix", "haproxy-unix", 1.15},
}

// of collects one figure of a path over all rounds, sorted.
func of(all []result, path string, figure func(result) float64) []float64 {
	var v []float64
	for _, r := range all {
		if r.Path == path {
			v = append(v, figure(r))
		}
	}
	slices.Sort(v)
	return v
}

func median(sorted []float64) float64 {
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// report prints what was measured and returns how many targets were missed.
func report(w io.Writer, paths []path, all []result, allocs map[string]float64, took time.Duration) (missed int) {
	rows := [][]string{{"path", "proxy CPU µs/call", "range", "calls/s", "p50 µs", "p99 µs", "generator µs", "server µs"}}
	for _, p := range paths {
		row := []string{p.name}
		cpu := of(all, p.name, func(r result) float64 { return r.ProxyUS })
		row = append(row, fmt.Sprintf("%.2f", median(cpu)), fmt.Sprintf("%.2f–%.2f", cpu[0], cpu[len(cpu)-1]))
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
			row = append(row, fmt.Sprintf(f.format, median(of(all, p.name, f.figure))))
		}
		rows = append(rows, row)
	}
	_, _ = fmt.Fprintf(w, "%d callers, %d-byte echo, closed loop, medians of %d rounds; HAProxy nbthread 1, bellhop 1 worker; took %.0f s\n\n",
		callers, size, len(all)/len(paths), took.Seconds())
	prove.Columns(w, rows)

	rows = [][]string{{"ratio to HAProxy", "target", "measured", "ok"}}
	var line []string
	judge := func(key, target string, v float64, ok bool) {
		word := "ok"
		if !ok {
			word = "missed"
			missed++
		}
		rows = append(rows, []string{key, target, fmt.Sprintf("%.2f", v), word})
		line = append(line, fmt.Sprintf("%s=%.2f", key, v))
	}
	for _, t := range targets {
		ratio := math.Round(100*cpuRatio(all, t.path, t.base)) / 100 // what is printed is what is judged
		judge(t.key, fmt.Sprintf("≤ %.2f", t.max), ratio, ratio <= t.max)
	}
	worst := 0.0
	for _, v := range allocs {
		worst = max(worst, v)
	}
	judge("allocs_per_call", "0.00", worst, worst < 0.005)
	_, _ = fmt.Fprintln(w)
	prove.Columns(w, rows)
	_, _ = fmt.Fprintf(w, "\n%s\n", strings.Join(line, " "))
	return missed
}

// cpuRatio is the median over the rounds of the ratios within a round: both of a round ran within seconds of each other,
// so what else the machine was doing is in both.
func cpuRatio(all []result, path, base string) float64 {
	cpu := func(r result) float64 { return r.ProxyUS }
	var ratios []float64
	for _, r := range all {
		for _, b := range all {
			if r.Path == path && b.Path == base && r.Round == b.Round && cpu(b) > 0 {
				ratios = append(ratios, cpu(r)/cpu(b))
			}
		}
	}
	slices.Sort(ratios)
	return median(ratios)
}
