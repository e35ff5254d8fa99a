package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/governed"
)

const (
	costMost = 1.25
	costRate = 12_000.0
)

// cost: CPU time of a call with five hundred rules, limits, weights and ten sources that share, to a proxy without rules.
func cost(ctx context.Context, s *governed.Stage) error {
	e, err := serve(s, "v1", framing)
	if err != nil {
		return err
	}
	pairs, err := s.Interleave(ctx, "no rules", "500 rules", func(ctx context.Context, side string) (*governed.Run, error) {
		rules := ""
		if side == "500 rules" {
			rules = manyRules(500)
		}
		return costRun(ctx, s, e, "", rules)
	})
	if err != nil {
		return err
	}
	ratio := price(pairs)
	s.Table.Add("CPU time of a call with 500 rules, limits and weights on, to that without rules", fmt.Sprintf("≤ %.2f", costMost), ratio.String(), ratio.Mid <= costMost)
	s.Table.Note("… µs a call: without, with", governed.Each(pairs, func(p governed.Pair) float64 { return p.A.Figures["CPU µs a call"] }).Format("%.1f", 1)+
		", "+governed.Each(pairs, func(p governed.Pair) float64 { return p.B.Figures["CPU µs a call"] }).Format("%.1f", 1))
	lost := governed.Each(pairs, func(p governed.Pair) float64 { return p.A.Figures["failed"] + p.B.Figures["failed"] })
	s.Table.Add("… failed calls", "0", lost.Format("%.0f", 1), lost.High == 0)
	s.Table.Note("… CPU, cores", governed.CPU(governed.Runs(pairs)))
	if s.Base == "" {
		return nil
	}
	pairs, err = s.Interleave(ctx, "base", "500 rules, to the base", func(ctx context.Context, side string) (*governed.Run, error) {
		if side == "base" {
			return costRun(ctx, s, e, s.Base, "")
		}
		return costRun(ctx, s, e, "", manyRules(500))
	})
	if err == nil {
		s.Table.Note("… the same, to bellhop "+prove.Version(ctx, s.Base)+" without rules", price(pairs).String())
	}
	return err
}

// price is the CPU time of a call, of the second run to the first.
func price(pairs []governed.Pair) governed.Span {
	return governed.Each(pairs, func(p governed.Pair) float64 { return p.B.Figures["CPU µs a call"] / p.A.Figures["CPU µs a call"] })
}

// costRun calls through a fresh proxy from ten sources.
func costRun(ctx context.Context, s *governed.Stage, e endpoint, binary, rules string) (*governed.Run, error) {
	b, err := proxyOf(ctx, s, binary, framing, rules, []endpoint{e})
	if err != nil {
		return nil, err
	}
	defer s.Stop(b.Process)
	var all []governed.Source
	for i := range 10 {
		all = append(all, governed.Source{Unit: fmt.Sprintf("shop-%d.service", i+1), Rate: costRate / 10, Args: []string{
			"--target", socket(b), "--service", "bench", "--framing", framing, "--connections", "6", "--depth", "2",
		}})
	}
	run, err := s.Load(ctx, governed.Measure{Warmup: warmup, Duration: s.Duration}, all)
	if err != nil {
		return nil, err
	}
	var calls float64
	for _, x := range run.Sources {
		calls += float64(x.Calls) / x.Seconds
	}
	run.Figures["CPU µs a call"] = run.Cores["bellhop"] / calls * 1e6
	run.Figures["failed"] = failed(run.Sources)
	return run, nil
}

// manyRules is a document of n rules, of which several match each call of bench: others by every kind of key do not.
func manyRules(n int) string {
	var b strings.Builder
	b.WriteString("version: 1\nrules:\n")
	for i := range n - 5 {
		switch i % 5 {
		case 0:
			fmt.Fprintf(&b, "  - {name: r%d, match: {service: other.S%d, method: get%d}, deadline: 200ms}\n", i, i, i)
		case 1:
			fmt.Fprintf(&b, "  - {name: r%d, match: {service: other%d.*}, retry: {on: [lost], attempts: 1}}\n", i, i)
		case 2:
			fmt.Fprintf(&b, "  - {name: r%d, match: {method: \"~find[A-Z]%d.*\"}, deadline: 300ms}\n", i, i)
		case 3:
			fmt.Fprintf(&b, "  - {name: r%d, match: {caller: caller-%d}, deadline: 400ms}\n", i, i) // what only the call tells
		case 4:
			fmt.Fprintf(&b, "  - {name: r%d, match: {unit: \"unit-%d*\"}, limit: {rate: 10, by: [source]}}\n", i, i)
		}
	}
	b.WriteString("  - {name: by-source, match: {service: bench}, limit: {rate: 100000, burst: 10000, by: [source]}}\n")
	b.WriteString("  - {name: by-method, match: {service: bench, method: \"e*\"}, limit: {concurrency: 10000, by: [service, method]}}\n")
	b.WriteString("  - {name: late, match: {service: bench}, deadline: 900ms}\n")
	b.WriteString("  - {name: breaker, match: {service: bench}, breaker: {scope: endpoint, window: 10s, min_calls: 20, error_share: 50%, open_for: 5s}}\n")
	b.WriteString("  - {name: again, match: {service: bench}, retry: {on: [lost, busy], attempts: 1}}\nsources:\n")
	for i := range 10 {
		fmt.Fprintf(&b, "  - {match: {unit: shop-%d.service}, workload_weight: %d}\n", i+1, i%3+1)
	}
	return b.String()
}
