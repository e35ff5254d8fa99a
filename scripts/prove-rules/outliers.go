package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/governed"
)

const (
	usual      = "2ms"
	slow       = "40ms"         // 20 times as slow
	business   = "declared:0.3" // of all calls end with an exception that the method declares
	eject      = 5 * time.Second
	p99Most    = 1.5
	outlyRate  = 1000.0
	manyShops  = 2 // workloads that call
	shopFormat = "shop-%d.service"
)

// outliers: of five endpoints one is slow, one answers INTERNAL_ERROR, one is dead. The other run of a pair has five good ones.
func outliers(ctx context.Context, s *governed.Stage) error {
	var good, bad []endpoint
	for range 5 {
		e, err := serve(s, "v1", framing, "--delay", usual, "--fail", business)
		if err != nil {
			return err
		}
		good = append(good, e)
	}
	slowOne, err := serve(s, "v1", framing, "--delay", slow, "--fail", business)
	if err != nil {
		return err
	}
	failing, err := serve(s, "v1", framing, "--delay", usual, "--fail", "internal-error")
	if err != nil {
		return err
	}
	dead, err := prove.FreePort()
	if err != nil {
		return err
	}
	bad = append(good[:2:2], slowOne, failing, endpoint{addr: dead, version: "v1"})
	pairs, err := s.Interleave(ctx, "healthy", "three bad", func(ctx context.Context, side string) (*governed.Run, error) {
		if side == "healthy" {
			return outlyRun(ctx, s, good)
		}
		return outlyRun(ctx, s, bad)
	})
	if err != nil {
		return err
	}
	p99 := governed.Each(pairs, func(p governed.Pair) float64 { return p.B.Figures["p99 µs"] / p.A.Figures["p99 µs"] })
	s.Table.Add(fmt.Sprintf("of five endpoints one slow by 20×, one failing, one dead: callers' p99 after %v, to five good ones", eject),
		fmt.Sprintf("≤ %.1f", p99Most), p99.String(), p99.Mid <= p99Most)
	of := func(name string) governed.Span {
		return governed.Each(pairs, func(p governed.Pair) float64 { return p.B.Figures[name] })
	}
	s.Table.Note("… the p99s, ms: healthy, with three bad", governed.Each(pairs, func(p governed.Pair) float64 { return p.A.Figures["p99 µs"] }).Format("%.2f", 1000)+
		", "+of("p99 µs").Format("%.2f", 1000))
	s.Table.Note("… failed calls after that, % (probes of the failing one)", of("failed %").Format("%.2f", 1))
	s.Table.Note("… failed calls before that, in the first seconds", of("failed early").Format("%.0f", 1))
	s.Table.Note("… ejections a run", of("ejections").Format("%.0f", 1))
	innocent := governed.Each(pairs, func(p governed.Pair) float64 { return p.A.Figures["ejections"] })
	s.Table.Add("… ejections among five good ones, 30 % of whose replies are declared exceptions", "0", innocent.Format("%.0f", 1), innocent.High == 0)
	s.Table.Note("… CPU, cores", governed.CPU(governed.Runs(pairs)))
	return nil
}

// outlyRun calls through a fresh proxy: ejecting takes a while, and is in the warm-up.
func outlyRun(ctx context.Context, s *governed.Stage, list []endpoint) (*governed.Run, error) {
	b, err := proxy(ctx, s, framing, "", list)
	if err != nil {
		return nil, err
	}
	defer s.Stop(b.Process)
	var all []governed.Source
	for i := range manyShops {
		all = append(all, caller(b, fmt.Sprintf(shopFormat, i+1), outlyRate/manyShops))
	}
	run, err := s.Load(ctx, governed.Measure{Warmup: eject, Duration: s.Duration}, all)
	if err != nil {
		return nil, err
	}
	var calls, early float64
	for _, x := range run.Sources {
		calls += float64(x.Calls + x.Fails())
		for kind, n := range x.Early {
			if kind != "declared" {
				early += float64(n)
			}
		}
	}
	run.Figures["p99 µs"] = governed.Merged(run.Sources, 99)
	run.Figures["failed %"] = 100 * failed(run.Sources) / calls
	run.Figures["failed early"] = early
	run.Figures["ejections"], run.Note, err = ejections(ctx, b)
	return run, err
}

// declared: five good endpoints of which one throws a declared exception at every call, and the others never.
func declared(ctx context.Context, s *governed.Stage) error {
	var list []endpoint
	for i := range 5 {
		args := []string{"--delay", usual}
		if i == 0 {
			args = append(args, "--fail", "declared")
		}
		e, err := serve(s, "v1", framing, args...)
		if err != nil {
			return err
		}
		list = append(list, e)
	}
	b, err := proxy(ctx, s, framing, "", list)
	if err != nil {
		return err
	}
	before, err := counts(list)
	if err != nil {
		return err
	}
	run, err := s.Valid(ctx, "one throws declared exceptions only", 0, func(ctx context.Context) (*governed.Run, error) {
		return s.Load(ctx, governed.Measure{Warmup: warmup, Duration: 2 * s.Duration}, []governed.Source{
			caller(b, "shop-1.service", outlyRate/2), caller(b, "shop-2.service", outlyRate/2),
		})
	})
	if err != nil {
		return err
	}
	n, why, err := ejections(ctx, b)
	if err != nil {
		return err
	}
	after, err := counts(list)
	if err != nil {
		return err
	}
	s.Table.Add("one endpoint throws nothing but declared exceptions: ejections", "0", strings.TrimSpace(fmt.Sprintf("%.0f %s", n, why)), n == 0)
	share := part(before, after, 0)
	s.Table.Add("… its share of the calls", "20 % ± 2", fmt.Sprintf("%.1f %%", 100*share), share > 0.18 && share < 0.22)
	s.Table.Add("… calls that failed", "0", fmt.Sprintf("%.0f", failed(run.Sources)), failed(run.Sources) == 0)
	return nil
}

// part is what endpoint i has had of all calls between two counts.
func part(before, after []float64, i int) float64 {
	var all float64
	for k := range after {
		all += after[k] - before[k]
	}
	return (after[i] - before[i]) / all
}

// badWorkload: a workload of two replicas sends nothing but calls that the server fails, another sends good ones. First all
// endpoints get both; then a rule sends the bad ones to one endpoint only, which then fails where its siblings do not.
func badWorkload(ctx context.Context, s *governed.Stage) error {
	for _, c := range []struct{ name, rules string }{
		{"the bad calls go everywhere", ""},
		{"a rule sends the bad calls to one host", "version: 1\nrules:\n" +
			"  - {name: pinned, match: {workload: buggy@.service}, subset: {version: v2, strict: true}}\n"},
	} {
		if err := badCase(ctx, s, c.name, c.rules); err != nil {
			return err
		}
		s.Reset()
	}
	return nil
}

func badCase(ctx context.Context, s *governed.Stage, name, rules string) error {
	var list []endpoint
	for i := range 3 {
		version := "v1"
		if i == 0 {
			version = "v2"
		}
		e, err := serve(s, version, framing, "--fail-bad")
		if err != nil {
			return err
		}
		list = append(list, e)
	}
	b, err := proxy(ctx, s, framing, rules, list)
	if err != nil {
		return err
	}
	run, err := s.Valid(ctx, name, 0, func(ctx context.Context) (*governed.Run, error) {
		return s.Load(ctx, governed.Measure{Warmup: warmup, Duration: 2 * s.Duration}, []governed.Source{
			caller(b, "good.service", 1000), caller(b, "buggy@1.service", 500, "--bad"), caller(b, "buggy@2.service", 500, "--bad"),
		})
	})
	if err != nil {
		return err
	}
	n, why, err := ejections(ctx, b)
	if err != nil {
		return err
	}
	s.Table.Add("one workload sends only bad calls ("+name+"): ejections", "0", strings.TrimSpace(fmt.Sprintf("%.0f %s", n, why)), n == 0)
	neighbour := failed(run.Sources[:1])
	s.Table.Add("… failed calls of the other workload", "0", fmt.Sprintf("%.0f", neighbour), neighbour == 0)
	bad := float64(run.Sources[1].Calls + run.Sources[2].Calls)
	s.Table.Add("… bad calls that did not fail (the test itself)", "0", fmt.Sprintf("%.0f", bad), bad == 0)
	return nil
}
