package main

import (
	"fmt"
	"strings"
)

// table writes the figures of an axis in Markdown: a row for each peer at each point.
func table(b *strings.Builder, a axis, all outcome) {
	b.WriteString("\n| " + a.name + " | peer | CPU µs/call | range | to HAProxy | calls/CPU-s | calls/s | busiest | +p50 µs | +p99 µs | +p99.9 µs | peak MB |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for i, p := range a.points {
		for _, peer := range peers() {
			cells := row(peer.name, p, all)
			_, _ = fmt.Fprintf(b, "| %s | %s | %s |\n", a.labels[i], peer.name, strings.Join(cells, " | "))
		}
	}
}

// row is one peer at one point. What was not measured says why.
func row(peer string, p point, all outcome) []string {
	cells := strings.Split(strings.Repeat("–,", 9)+"–", ",")
	if why := all.Absent[peer+" at "+p.String()]; why != "" {
		cells[0] = why
		return cells
	}
	closed, open := of(all.Samples, peer, p, false), of(all.Samples, peer, p, true)
	if len(closed) == 0 {
		cells[0] = "failed: " + failure(all.Samples, peer, p)
		return cells
	}
	rate := spread(closed, func(s sample) float64 { return s.CallsPerSecond })
	cells[4], cells[5] = fmt.Sprintf("%.0f", rate.Mid), bound(closed)
	if n := failures(all.Samples, peer, p); n > 0 {
		cells[5] += fmt.Sprintf("; calls failed in %d measurements", n)
	}
	direct := of(all.Samples, "direct", p, true)
	if peer == "direct" {
		cells[6] = absolute(open, func(q quantile) float64 { return q.P50 })
		cells[7] = absolute(open, func(q quantile) float64 { return q.P99 })
		cells[8] = absolute(open, func(q quantile) float64 { return q.P999 })
		return cells
	}
	cpu := spread(closed, func(s sample) float64 { return s.ProxyUS })
	cells[0], cells[1] = fmt.Sprintf("%.2f", cpu.Mid), fmt.Sprintf("%.2f–%.2f", cpu.Low, cpu.High)
	ratio := against(closed, of(all.Samples, "haproxy", p, false), func(x, y sample) float64 { return x.ProxyUS / max(y.ProxyUS, 1e-9) })
	if ratio.Mid > 0 {
		cells[2] = fmt.Sprintf("%.2f", ratio.Mid)
	}
	if cpu.Mid > 0 {
		cells[3] = fmt.Sprintf("%.0f", 1e6/cpu.Mid)
	}
	cells[6] = added(open, direct, func(q quantile) float64 { return q.P50 })
	cells[7] = added(open, direct, func(q quantile) float64 { return q.P99 })
	cells[8] = added(open, direct, func(q quantile) float64 { return q.P999 })
	cells[9] = fmt.Sprintf("%.1f", spread(append(closed, open...), func(s sample) float64 { return float64(s.PeakRSS) / 1e6 }).High)
	return cells
}

// bound is busiest, and what the load itself took where that was much.
func bound(closed []sample) string {
	word := busiest(closed)
	if us := spread(closed, func(s sample) float64 { return 1e6 * (s.LoadCores + s.ServerCores) / max(s.CallsPerSecond, 1) }).Mid; us > loadMost {
		word += fmt.Sprintf("; generator and server %.1f µs a call", us)
	}
	return word
}

// loadMost is what generator and server should take together for a call, in µs; more is said.
const loadMost = 8

// busiest tells what kept the rate from being higher: whoever uses nine tenths of a core first. A generator or a server
// that burns more than the proxy is named too: the proxy could have done more.
func busiest(closed []sample) string {
	cores := func(f func(sample) float64) float64 { return spread(closed, f).Mid }
	proxy := cores(func(s sample) float64 { return s.ProxyCores })
	load := cores(func(s sample) float64 { return s.LoadCores })
	server := cores(func(s sample) float64 { return s.ServerCores })
	switch {
	case load > 0.9 || load > proxy && load >= server:
		return fmt.Sprintf("generator-bound: %.2f cores", load)
	case server > 0.9 || server > proxy:
		return fmt.Sprintf("generator-bound: server %.2f cores", server)
	}
	return fmt.Sprintf("proxy: %.2f cores", proxy)
}

func absolute(open []sample, f func(quantile) float64) string {
	if len(open) == 0 {
		return "–"
	}
	return fmt.Sprintf("(%.0f)", spread(open, func(s sample) float64 { return f(s.Latency) }).Mid)
}

// added is the median over the rounds of what a peer's quantile is above that of a direct connection. A rate that a peer
// could not keep has no latency: it is a queue that grows.
func added(open, direct []sample, f func(quantile) float64) string {
	if len(open) == 0 || len(direct) == 0 {
		return "–"
	}
	if spread(open, func(s sample) float64 { return s.CallsPerSecond / s.Rate }).Mid < 0.97 {
		return "not kept"
	}
	return fmt.Sprintf("%.0f", against(open, direct, func(x, y sample) float64 { return f(x.Latency) - f(y.Latency) }).Mid)
}

func failures(all []sample, peer string, p point) (n int) {
	for _, s := range all {
		if s.Peer == peer && s.Point == p && s.Err != "" {
			n++
		}
	}
	return n
}

// failure is the first thing that went wrong, on one line of a table.
func failure(all []sample, peer string, p point) string {
	for _, s := range all {
		if s.Peer == peer && s.Point == p && s.Err != "" {
			return strings.NewReplacer("|", "/", "\n", " ").Replace(s.Err[:min(len(s.Err), 100)])
		}
	}
	return "unknown"
}
