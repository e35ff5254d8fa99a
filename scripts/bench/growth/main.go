// Command growth is `make bench-growth`: what a call costs as services, endpoints, connections and sources grow, a large
// node against a small one, and what a full table swap does to the calls that are under way. It must never judge: the
// catalogue of scripts/bench/targets does.
//
//	thriftperf hold ─(idle)─┐
//	thriftperf load ────────┴► bellhop, one for each step ─► thriftperf serve (all of 127.0.0.0/8)
//
// The steps of an axis are all up at once and are measured in turn; those whose turn it is not are idle.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/bench/targets"
	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

type options struct {
	rounds, swaps int
	duration      time.Duration
	axes, out     string
	rate          float64
}

func main() {
	o := options{}
	flag.IntVar(&o.rounds, "rounds", 7, "rounds of an axis, each of which measures every step once")
	flag.IntVar(&o.swaps, "swaps", 5, "table swaps under load")
	flag.DurationVar(&o.duration, "duration", time.Second, "of one measurement")
	flag.Float64Var(&o.rate, "rate", 5000, "calls a second while tables are swapped")
	flag.StringVar(&o.axes, "axes", "services,endpoints,connections,sources,node,swap", "what to measure")
	flag.StringVar(&o.out, "out", "docs/bench", "folder of the page")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-growth:", err)
		os.Exit(2)
	}
}

// outcome is the raw file.
type outcome struct {
	Begun   time.Time         `json:"begun"`
	Machine string            `json:"machine"`
	Bellhop string            `json:"bellhop"`
	Rounds  int               `json:"rounds"`
	Samples []sample          `json:"samples"`
	Swap    *swapped          `json:"swap,omitempty"`
	Failed  map[string]string `json:"failed"` // axis: why it has no figures
}

func run(ctx context.Context, o options) error {
	if o.rounds < 1 || o.swaps < 1 || o.duration <= 0 || o.rate <= 0 {
		return fmt.Errorf("--rounds %d, --swaps %d, --duration %v, --rate %v: all must be positive", o.rounds, o.swaps, o.duration, o.rate)
	}
	all := outcome{
		Begun: time.Now().UTC().Truncate(time.Second), Machine: prove.Machine(), Bellhop: prove.Version(ctx, "bin/bellhop"),
		Rounds: o.rounds, Failed: map[string]string{},
	}
	known := map[string]bool{}
	for _, a := range axes() {
		known[a.name] = true
	}
	for name := range strings.SplitSeq(o.axes, ",") {
		if name != "swap" && !known[name] {
			return fmt.Errorf("--axes: %q is none of services, endpoints, connections, sources, node, swap", name)
		}
		fmt.Fprintf(os.Stderr, "[%.0f s] %s\n", time.Since(all.Begun).Seconds(), name)
		if err := measureOne(ctx, name, o, &all); err != nil { // one that fails must not end the others
			all.Failed[name] = err.Error()
			fmt.Fprintf(os.Stderr, "bench-growth: %s: %v\n", name, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if err := keep(o.out, all); err != nil {
		return err
	}
	page(os.Stdout, all)
	if len(all.Failed) > 0 {
		return fmt.Errorf("%d of the axes could not be measured", len(all.Failed))
	}
	return nil
}

func measureOne(ctx context.Context, name string, o options, all *outcome) error {
	if name == "swap" {
		s, err := swap(ctx, o)
		all.Swap = s
		return err
	}
	for _, a := range axes() {
		if a.name == name {
			samples, err := measureAxis(ctx, a, o)
			all.Samples = append(all.Samples, samples...)
			return err
		}
	}
	return nil
}

// keep writes the raw file, the plots, the page and what the targets need.
func keep(dir string, all outcome) error {
	b, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	raw := filepath.Join(dir, "raw")
	if err := os.MkdirAll(raw, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(raw, "growth-"+all.Begun.Format("20060102T150405Z")+".json"), b, 0o644); err != nil {
		return err
	}
	for _, a := range axes() {
		if c := chart(a, all.Samples); c != nil {
			if err := os.WriteFile(filepath.Join(dir, "growth-"+a.name+".svg"), []byte(c.SVG()), 0o644); err != nil {
				return err
			}
		}
	}
	var text strings.Builder
	page(&text, all)
	if err := targets.Rewrite(filepath.Join(dir, "README.md"), "growth", text.String()); err != nil {
		return err
	}
	return targets.Save(dir, "growth", judged(all))
}

// judged are the values of the targets.
func judged(all outcome) targets.File {
	f := targets.File{Begun: all.Begun, Machine: all.Machine, Bellhop: all.Bellhop, Values: map[string][]float64{}, Absent: map[string]string{}}
	if v := ratios(all.Samples, "node", "large", "small"); len(v) > 0 {
		f.Values["growth"] = v
	} else {
		f.Absent["growth"] = "the two nodes were not measured in this run"
	}
	switch {
	case all.Swap == nil:
		f.Absent["round-gap"] = "no table was swapped in this run"
	case len(all.Swap.Gaps) == 0:
		f.Absent["round-gap"] = "bellhop has no metric " + gapMetric
	default:
		f.Values["round-gap"] = all.Swap.Gaps
	}
	return f
}
