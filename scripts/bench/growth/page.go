package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/bellhop-mesh/bellhop/scripts/bench/plot"
	"github.com/bellhop-mesh/bellhop/scripts/bench/targets"
)

func of(all []sample, axis, step string, figure func(sample) float64) (v []float64) {
	for _, s := range all {
		if s.Axis == axis && s.Step == step {
			v = append(v, figure(s))
		}
	}
	return v
}

func cpu(s sample) float64 { return s.ProxyUS }

// ratios are those of a step to another within the rounds.
func ratios(all []sample, axis, step, base string) (v []float64) {
	for _, a := range all {
		for _, b := range all {
			if a.Axis == axis && b.Axis == axis && a.Step == step && b.Step == base && a.Round == b.Round && b.ProxyUS > 0 {
				v = append(v, a.ProxyUS/b.ProxyUS)
			}
		}
	}
	return v
}

// chart is nil for an axis that was not measured.
func chart(a axis, all []sample) *plot.Chart {
	c := &plot.Chart{Title: "CPU per call · " + a.title, Unit: "µs", Series: []plot.Series{{Name: "bellhop, exclusive, 64 callers"}}}
	there := false
	for _, s := range a.steps {
		v := targets.Of(of(all, a.name, s.label, cpu))
		there = there || v.Mid > 0
		c.Groups = append(c.Groups, s.label)
		c.Series[0].Values = append(c.Series[0].Values, plot.Value{Mid: v.Mid, Low: v.Low, High: v.High})
	}
	if !there {
		return nil
	}
	return c
}

// page writes everything that was measured in Markdown.
func page(w io.Writer, all outcome) {
	_, _ = fmt.Fprintf(w, "%s: %s, bellhop %s. %d rounds.\n", all.Begun.Format("2006-01-02"), all.Machine, all.Bellhop, all.Rounds)
	for _, a := range axes() {
		if chart(a, all.Samples) == nil {
			continue
		}
		_, _ = fmt.Fprintf(w, "\n### %s\n\n![CPU per call](growth-%s.svg)\n\n", a.title, a.name)
		_, _ = fmt.Fprint(w, "| | services | endpoints | idle connections | sources | CPU µs/call | range | to the smallest | range | calls/s | p99 µs |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
		for _, s := range a.steps {
			us := targets.Of(of(all.Samples, a.name, s.label, cpu))
			r := targets.Of(ratios(all.Samples, a.name, s.label, a.steps[0].label))
			_, _ = fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %.2f | %.2f–%.2f | %.2f | %.2f–%.2f | %.0f | %.0f |\n", s.label, s.services, s.endpoints, s.connections, s.sources,
				us.Mid, us.Low, us.High, r.Mid, r.Low, r.High,
				targets.Of(of(all.Samples, a.name, s.label, func(s sample) float64 { return s.Rate })).Mid,
				targets.Of(of(all.Samples, a.name, s.label, func(s sample) float64 { return float64(s.P99) })).Mid)
		}
	}
	if all.Swap != nil {
		all.Swap.print(w)
	}
	for _, name := range slices.Sorted(maps.Keys(all.Failed)) {
		_, _ = fmt.Fprintf(w, "\nNot measured: %s: %s\n", name, all.Failed[name])
	}
}
