package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// gapMetric is the longest round of a worker since the last look, in seconds, by worker.
const gapMetric = "bellhop_worker_round_max_seconds"

// swapped is what full table swaps did to a load.
type swapped struct {
	Rate   float64       `json:"rate_per_second"`
	Phases []prove.Phase `json:"phases"` // before, one for each swap, after
	Gaps   []float64     `json:"gaps_seconds"`
	Failed int64         `json:"failed_calls"`
}

const (
	quiet   = 3 * time.Second // before the first swap and after the last
	swapFor = 3 * time.Second // for one swap: reading 20,000 endpoints, compiling, connecting anew
)

// swap changes every address of 2,000 services again and again while calls start at a fixed rate.
//
//	scrape (the longest round is forgotten) ─► SIGUSR1 ─► registry replaced ─► 3 s ─► scrape: the longest round of the swap
func swap(ctx context.Context, o options) (*swapped, error) {
	dir, err := os.MkdirTemp("", "swap-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server, port, err := startServer(dir)
	defer func() { server.Stop(time.Second) }()
	if err != nil {
		return nil, err
	}
	s := step{"swap", 2000, 20000, 0, 1}
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	n, err := startNode(starting, dir, s, port)
	if n.bellhop != nil {
		defer n.stop()
	}
	if err != nil {
		return nil, err
	}
	whole := quiet*2 + time.Duration(o.swaps)*(swapFor+time.Second)
	load, err := prove.Start(dir, "load", "bin/thriftperf", "load", "--json", "--phases", "--target", n.target, "--connections", strconv.Itoa(callers),
		"--service", "s", "--services", strconv.Itoa(s.services), "--rate", strconv.FormatFloat(o.rate, 'f', 0, 64),
		"--warmup", "1s", "--duration", whole.String(), "--timeout", "5s")
	if err != nil {
		return nil, err
	}
	defer load.Stop(time.Second)
	result := &swapped{Rate: o.rate}
	if err := wait(ctx, time.Second+quiet); err != nil {
		return nil, err
	}
	for i := range o.swaps {
		gap, told, err := n.swapOnce(ctx, load.PID(), port, i+1)
		if err != nil {
			return nil, fmt.Errorf("swap %d: %w", i+1, err)
		}
		if told {
			result.Gaps = append(result.Gaps, gap)
		}
	}
	if err := syscall.Kill(load.PID(), syscall.SIGUSR1); err != nil {
		return nil, err
	}
	line, err := load.Line()
	if err != nil {
		return nil, err
	}
	m, err := prove.ParseMeasured([]byte(line))
	if err != nil {
		return nil, err
	}
	result.Phases = m.Phases
	for _, failed := range m.Failed {
		result.Failed += failed
	}
	return result, nil
}

// swapOnce replaces the table and returns the longest gap; told is false where bellhop does not tell it.
func (n *node) swapOnce(ctx context.Context, load int, port string, generation int) (gap float64, told bool, err error) {
	before, err := prove.Scrape(ctx, n.bellhop.Admin)
	if err != nil {
		return 0, false, err
	}
	next := filepath.Join(n.bellhop.Dir, "next.yaml")
	if err := os.WriteFile(next, []byte(n.registry(port, generation)), 0o600); err != nil {
		return 0, false, err
	}
	if err := syscall.Kill(load, syscall.SIGUSR1); err != nil {
		return 0, false, err
	}
	if err := wait(ctx, 200*time.Millisecond); err != nil { // the generator looks ten times a second
		return 0, false, err
	}
	if err := os.Rename(next, filepath.Join(n.bellhop.Registry(), "services.yaml")); err != nil {
		return 0, false, err
	}
	if err := wait(ctx, swapFor); err != nil {
		return 0, false, err
	}
	after, err := prove.Scrape(ctx, n.bellhop.Admin)
	if err != nil {
		return 0, false, err
	}
	if after["bellhop_table_version"] <= before["bellhop_table_version"] || after["bellhop_registry_endpoints"] != float64(n.endpoints) {
		return 0, false, fmt.Errorf("%w: table %v after %v, %v endpoints", errNoSwap, after["bellhop_table_version"], before["bellhop_table_version"], after["bellhop_registry_endpoints"])
	}
	for name, v := range after {
		if strings.HasPrefix(name, gapMetric) {
			gap, told = max(gap, v), true
		}
	}
	return gap, told, nil
}

var errNoSwap = errors.New("the table in force is not the one that was written")

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// print writes what became of the calls.
func (s *swapped) print(w io.Writer) {
	_, _ = fmt.Fprintf(w, "\n### Full table swaps under load\n\n%d swaps of all addresses of 2,000 services with 20,000 endpoints, open loop, %.0f calls/s, %d calls failed.\n\n",
		len(s.Phases)-2, s.Rate, s.Failed)
	_, _ = fmt.Fprint(w, "| part | seconds | calls | p50 µs | p99 µs | p99.9 µs | max µs | longest round ms |\n|---|---|---|---|---|---|---|---|\n")
	for i, p := range s.Phases {
		name, gap := fmt.Sprintf("swap %d", i), "not told"
		switch {
		case i == 0:
			name, gap = "before", "–"
		case i == len(s.Phases)-1:
			name, gap = "after", "–"
		case i <= len(s.Gaps):
			gap = fmt.Sprintf("%.2f", s.Gaps[i-1]*1e3)
		}
		_, _ = fmt.Fprintf(w, "| %s | %.1f | %d | %d | %d | %d | %d | %s |\n", name, p.Seconds, p.Calls, p.Latency.P50, p.Latency.P99, p.Latency.P999, p.Latency.Max, gap)
	}
}
