package main

import (
	"context"
	"fmt"
	"math"

	"github.com/bellhop-mesh/bellhop/scripts/prove/governed"
)

// How a proxy that everybody wants more of than there is shares itself out.

const (
	jainLeast = 0.98
	offMost   = 0.05 // of a share, from what it should be
)

// repeat makes the run as often as there are pairs and keeps one figure of each.
func repeat(ctx context.Context, s *governed.Stage, side string, make func(context.Context) (*governed.Run, error), figure func(*governed.Run) float64) (governed.Span, error) {
	var values []float64
	var runs []*governed.Run
	for i := range s.Pairs {
		run, err := s.Valid(ctx, side, i, make)
		if err != nil {
			return governed.Span{}, err
		}
		v := figure(run)
		run.Figures[side] = v
		values, runs = append(values, v), append(runs, run)
	}
	s.Table.Note("… CPU, cores ("+side+")", governed.CPU(runs))
	return governed.SpanOf(values), nil
}

// calls of each unit, in the order of the list.
func calls(run *governed.Run, units ...string) []float64 {
	v := make([]float64, len(units))
	for i, u := range units {
		for _, x := range run.Sources {
			if x.Unit == u {
				v[i] += float64(x.Calls)
			}
		}
	}
	return v
}

// equal: ten sources that are never satisfied, of which each has more connections than the one before.
func equal(ctx context.Context, s *governed.Stage) error {
	r, err := newRig(s)
	if err != nil {
		return err
	}
	var units []string
	for i := range 10 {
		units = append(units, fmt.Sprintf("hungry-%d.service", i+1))
	}
	sources := func(t string) (all []governed.Source) {
		for i, u := range units {
			all = append(all, one(u, t, 0, 4+2*i, 12, small))
		}
		return all
	}
	jain := func(run *governed.Run) float64 { return governed.Jain(calls(run, units...)) }
	span, err := repeat(ctx, s, "Jain", func(ctx context.Context) (*governed.Run, error) { return r.through(ctx, sources) }, jain)
	if err != nil {
		return err
	}
	s.Table.Add("ten saturating sources with 4 to 22 connections: Jain's index", fmt.Sprintf("≥ %.2f", jainLeast), span.Format("%.4f", 1), span.Mid >= jainLeast)
	s.Pairs = min(s.Pairs, haPairs)
	span, err = repeat(ctx, s, "Jain, HAProxy", func(ctx context.Context) (*governed.Run, error) { return r.throughHAProxy(ctx, sources) }, jain)
	if err == nil {
		s.Table.Note("… through HAProxy", span.Format("%.4f", 1))
	}
	return err
}

// weights: three such sources, whose workloads have the weights 1, 2 and 4.
func weights(ctx context.Context, s *governed.Stage) error {
	r, err := newRig(s)
	if err != nil {
		return err
	}
	units, weight := []string{"light.service", "middle.service", "heavy.service"}, []float64{1, 2, 4}
	r.rules = "version: 1\nsources:\n"
	for i, u := range units {
		r.rules += fmt.Sprintf("  - {match: {unit: %s}, workload_weight: %.0f}\n", u, weight[i])
	}
	sources := func(t string) (all []governed.Source) {
		for _, u := range units {
			all = append(all, one(u, t, 0, 24, 16, small))
		}
		return all
	}
	span, err := repeat(ctx, s, "off by", func(ctx context.Context) (*governed.Run, error) { return r.through(ctx, sources) },
		func(run *governed.Run) float64 { return off(calls(run, units...), weight) })
	if err == nil {
		s.Table.Add("three saturating sources with weights 1:2:4: the share that is furthest off", fmt.Sprintf("≤ %.0f %%", 100*offMost),
			span.Format("%.1f %%", 0.01), span.Mid <= offMost)
	}
	return err
}

// off is how far the worst share is from its weight's, as a part of it.
func off(got, weight []float64) (worst float64) {
	var all, sum float64
	for i := range got {
		all, sum = all+got[i], sum+weight[i]
	}
	for i := range got {
		worst = max(worst, math.Abs(got[i]/all/(weight[i]/sum)-1))
	}
	return worst
}

// workloads: fifty pods of one workload against one of another.
func workloads(ctx context.Context, s *governed.Stage) error {
	r, err := newRig(s)
	if err != nil {
		return err
	}
	var many []string
	for i := range 50 {
		many = append(many, fmt.Sprintf("web@%d.service", i+1))
	}
	const solo = "solo.service"
	sources := func(t string) (all []governed.Source) {
		for _, u := range many {
			all = append(all, one(u, t, 0, 2, 6, small))
		}
		return append(all, one(solo, t, 0, 24, 16, small))
	}
	run := func(ctx context.Context) (*governed.Run, error) { return r.through(ctx, sources) }
	var inner []float64
	span, err := repeat(ctx, s, "off by", run, func(run *governed.Run) float64 {
		fifty := calls(run, many...)
		inner = append(inner, governed.Jain(fifty))
		var sum float64
		for _, v := range fifty {
			sum += v
		}
		return off([]float64{sum, calls(run, solo)[0]}, []float64{1, 1})
	})
	if err == nil {
		s.Table.Add("50 sources of one workload against 1 of another: the share that is further off half", fmt.Sprintf("≤ %.0f %%", 100*offMost),
			span.Format("%.1f %%", 0.01), span.Mid <= offMost)
		s.Table.Note("… Jain's index among the 50", governed.SpanOf(inner).Format("%.4f", 1))
	}
	return err
}
