// Command bench measures what a call costs bellhop in CPU time, as a ratio to what it costs HAProxy in TCP mode in the
// same run: `make bench-quick`. It must never judge by absolute numbers: machines differ, and change while they run.
//
//	thriftperf load ─► haproxy ─────────────────────► thriftperf serve     rounds in turn, over tcp and over unix
//	                └► bellhop (multiplexed, exclusive) ─┘                 sockets on both sides
//
// The last line is the ratios as key=value: tcp64, unix64, excl64, tcp1. The exit code tells whether a measurement could
// be made, not whether a target was met; --strict makes it tell both.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/bench/targets"
	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

type options struct {
	rounds   int
	duration time.Duration
	raw      string
	profile  string
	flames   string
	page     string
	strict   bool
}

func main() {
	o := options{}
	flag.IntVar(&o.rounds, "rounds", 7, "rounds, each of which measures every path once")
	flag.DurationVar(&o.duration, "duration", 640*time.Millisecond, "of one measurement")
	flag.StringVar(&o.raw, "raw", "docs/bench/raw", "folder for the raw results")
	flag.StringVar(&o.profile, "profile", "", "folder for a CPU profile of bellhop on each path, taken in an extra round")
	flag.StringVar(&o.page, "page", "", "folder of the page whose table of targets gets the values, such as docs/bench; empty: none")
	flag.StringVar(&o.flames, "flames", "", "only record profiles with perf: flame graphs and profile.md in this folder")
	flag.BoolVar(&o.strict, "strict", false, "exit with 1 when a target was not met")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	missed, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-quick:", err)
		os.Exit(2)
	}
	if o.strict && missed > 0 {
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (missed int, err error) {
	begun := time.Now()
	rig, err := newRig(ctx)
	defer rig.stop()
	if err != nil {
		return 0, err
	}
	if o.flames != "" {
		return 0, rig.flames(ctx, o.flames)
	}
	var all []result
	for round := range o.rounds {
		for _, p := range rig.paths {
			r, err := rig.measure(ctx, p, o.duration)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", p.name, err)
			}
			r.Round = round + 1
			all = append(all, r)
		}
	}
	allocs := map[string]float64{}
	for _, p := range rig.paths {
		if p.mode == "" || p.network != "tcp" || p.callers != many {
			continue
		}
		if allocs[p.mode], err = rig.allocations(ctx, p); err != nil {
			return 0, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if o.profile != "" {
		if err := rig.profiles(ctx, o.profile); err != nil {
			return 0, err
		}
	}
	if err := save(o.raw, all, allocs); err != nil {
		return 0, err
	}
	if missed, err = report(os.Stdout, rig.paths, all, allocs, time.Since(begun)); err != nil || o.page == "" {
		return missed, err
	}
	return missed, targets.Save(o.page, "quick", targets.File{
		Begun: begun.UTC().Truncate(time.Second), Machine: prove.Machine(), Bellhop: prove.Version(ctx, "bin/bellhop"), Values: values(all, allocs),
	})
}

// save keeps every measurement as it was made.
func save(dir string, all []result, allocs map[string]float64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(map[string]any{"rounds": all, "allocs_per_call": allocs}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "quick-"+time.Now().UTC().Format("20060102T150405Z")+".json"), b, 0o644)
}
