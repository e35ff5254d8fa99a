package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove/governed"
)

const (
	callsLeast = 100_000
	offMost    = 0.005 // of all calls
	shareRate  = 10_000
)

// splitCase is a load through rules, and what part of the calls version v2 must get.
type splitCase struct {
	name, framing, rules string
	sources              func(target func(unit string, rate float64, more ...string) governed.Source) []governed.Source
	want                 func(run *governed.Run) float64
}

// canary: a weighted split, drawn for every call.
func canary(ctx context.Context, s *governed.Stage) error {
	return shares(ctx, s, splitCase{
		name: "canary 5 %", framing: framing,
		rules: "version: 1\nrules:\n  - {name: canary, match: {service: bench}, split: {parts: [{weight: 95, version: v1}, {weight: 5, version: v2}]}}\n",
		sources: func(c func(string, float64, ...string) governed.Source) []governed.Source {
			return []governed.Source{c("shop-1.service", shareRate/2), c("shop-2.service", shareRate/2)}
		},
		want: func(*governed.Run) float64 { return 0.05 },
	})
}

// cookie: an A/B test by a key that the caller sends.
func cookie(ctx context.Context, s *governed.Stage) error {
	return shares(ctx, s, splitCase{
		name: "A/B by cookie, 30 % have it", framing: "theader-binary",
		rules: "version: 1\nrules:\n  - {name: b, match: {service: bench, header: {experiment: b}}, subset: {version: v2, strict: true}}\n" +
			"  - {name: a, match: {service: bench}, subset: {version: v1, strict: true}}\n",
		sources: func(c func(string, float64, ...string) governed.Source) []governed.Source {
			return []governed.Source{
				c("shop-1.service", shareRate*0.3, "--header", "experiment=b"),
				c("shop-2.service", shareRate*0.4, "--header", "experiment=a"), c("shop-3.service", shareRate*0.3, "--header", "other=b"),
			}
		},
		want: func(run *governed.Run) float64 { // what was really sent with it
			return float64(run.Sources[0].Begun) / float64(run.Sources[0].Begun+run.Sources[1].Begun+run.Sources[2].Begun)
		},
	})
}

// subset: a version for the callers of one workload.
func subset(ctx context.Context, s *governed.Stage) error {
	return shares(ctx, s, splitCase{
		name: "version subset for one workload of two", framing: framing,
		rules: "version: 1\nrules:\n  - {name: two, match: {unit: shop-2.service}, subset: {version: v2, strict: true}}\n" +
			"  - {name: one, match: {service: bench}, subset: {version: v1, strict: true}}\n",
		sources: func(c func(string, float64, ...string) governed.Source) []governed.Source {
			return []governed.Source{c("shop-1.service", shareRate*0.6), c("shop-2.service", shareRate*0.4)}
		},
		want: func(run *governed.Run) float64 {
			return float64(run.Sources[1].Begun) / float64(run.Sources[0].Begun+run.Sources[1].Begun)
		},
	})
}

// shares makes at least 100,000 calls through four endpoints, two of each version, and asks the servers.
func shares(ctx context.Context, s *governed.Stage, c splitCase) error {
	var list []endpoint
	for i := range 4 {
		e, err := serve(s, []string{"v1", "v2"}[i%2], c.framing)
		if err != nil {
			return err
		}
		list = append(list, e)
	}
	b, err := proxy(ctx, s, c.framing, c.rules, list)
	if err != nil {
		return err
	}
	before, err := counts(list)
	if err != nil {
		return err
	}
	took := time.Duration(callsLeast / shareRate * 1.2 * float64(time.Second))
	run, err := s.Valid(ctx, c.name, 0, func(ctx context.Context) (*governed.Run, error) {
		if before, err = counts(list); err != nil {
			return nil, err
		}
		return s.Load(ctx, governed.Measure{Warmup: warmup, Duration: took}, c.sources(func(unit string, rate float64, more ...string) governed.Source {
			src := caller(b, unit, rate, more...)
			src.Args = append(src.Args, "--framing", c.framing, "--grain", "1ms") // the last framing counts
			return src
		}))
	})
	if err != nil {
		return err
	}
	after, err := counts(list)
	if err != nil {
		return err
	}
	var all, two float64
	for i := range list {
		all += after[i] - before[i]
		if list[i].version == "v2" {
			two += after[i] - before[i]
		}
	}
	want := c.want(run)
	off := two/all - want
	run.Figures["calls"], run.Figures["share"], run.Figures["share wanted"] = all, two/all, want
	s.Table.Add(fmt.Sprintf("%s: share of version v2 over 100,000 calls, as its servers counted", c.name), fmt.Sprintf("%.2f %% ± 0.5", 100*want),
		fmt.Sprintf("%.2f %% of %.0f", 100*two/all, all), math.Abs(off) <= offMost && all >= callsLeast)
	s.Table.Add("… failed calls", "0", fmt.Sprintf("%.0f", failed(run.Sources)), failed(run.Sources) == 0)
	s.Table.Note("… CPU, cores", governed.CPU([]*governed.Run{run}))
	return nil
}
