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
	times     = 3.0  // what is offered, of what the local proxy carries
	unloaded  = 0.15 // of it, in the run that is compared with
	roomShare = 0.7  // of a core, for a remote tier with room
	p99Most   = 2.0  // local p99, to the unloaded
	refusal   = 5000 // µs, p99 of refusals
	goodLeast = 0.9  // of the peak
	served    = 0.99 // of backup traffic
)

// overflow: three times as many calls as the local proxy can carry, and a remote tier with room for the rest.
func overflow(ctx context.Context, s *governed.Stage) error {
	server, err := s.Serve("--framing", framing)
	if err != nil {
		return err
	}
	most, err := carries(ctx, s, server)
	if err != nil {
		return err
	}
	pairs, err := s.Interleave(ctx, "unloaded", "overloaded", func(ctx context.Context, side string) (*governed.Run, error) {
		if side == "unloaded" {
			return spill(ctx, s, server, roomShare, most*unloaded, 0, calm)
		}
		return spill(ctx, s, server, roomShare, most*times, 0, settle)
	})
	if err != nil {
		return err
	}
	of := func(name string) governed.Span {
		return governed.Each(pairs, func(p governed.Pair) float64 { return p.B.Figures[name] })
	}
	s.Table.Note("what the local proxy carries alone, calls/s; offered", fmt.Sprintf("%.0f; %.0f", most, most*times))
	refused := of("failed")
	s.Table.Add("3× what the local proxy can carry, remote tier with room: calls refused or failed", "0",
		refused.Format("%.0f", 1), refused.High == 0)
	s.Table.Note("… in the ten seconds before, in which the proxies find out", of("failed early").Format("%.0f", 1))
	s.Table.Note("… served, calls/s; by the remote tier, % of them", of("goodput").Format("%.0f", 1)+"; "+of("remote %").Format("%.0f", 1))
	p99 := governed.Each(pairs, func(p governed.Pair) float64 { return p.B.Figures["local p99 µs"] / p.A.Figures["local p99 µs"] })
	s.Table.Add("… p99 of calls that the local proxy serves, to the unloaded", fmt.Sprintf("≤ %.1f", p99Most), p99.String(), p99.Mid <= p99Most)
	s.Table.Note("… the p99s, µs: unloaded, overloaded; all calls, overloaded",
		governed.Each(pairs, func(p governed.Pair) float64 { return p.A.Figures["local p99 µs"] }).Format("%.0f", 1)+", "+
			of("local p99 µs").Format("%.0f", 1)+"; "+of("p99 µs").Format("%.0f", 1))
	above := governed.Each(pairs, func(p governed.Pair) float64 {
		return p.B.Figures["remote in flight, most"] - p.B.Figures["grant"]
	})
	s.Table.Add("… most calls in flight at the remote proxy, less the grant (seen every 0.1 s)", "≤ 0", above.Format("%.0f", 1), above.High <= 0)
	beyond := of("beyond the grant")
	s.Table.Add("… calls that the remote proxy had to refuse as beyond the grant", "0", beyond.Format("%.0f", 1), beyond.High == 0)
	s.Table.Note("… CPU, cores", governed.CPU(governed.Runs(pairs)))
	return nil
}

// grantCalls is what the remote proxy grants the host. Calls that were moved and calls that were handed over spend the same. The
// callers can have 5,120 in flight: what they have put off meanwhile comes at once when they move.
const grantCalls = 4096

// spill is one run: a rate through both tiers. backup, if not 0, is the rate of callers whose local proxy is gone.
func spill(ctx context.Context, s *governed.Stage, server *governed.Server, remoteShare, rate, backup float64, warmup time.Duration) (*governed.Run, error) {
	t, err := raise(ctx, s, server, remoteShare)
	defer t.fall()
	if err != nil {
		return nil, err
	}
	all := t.callers(rate)
	if backup > 0 {
		all = append(all, governed.Source{Unit: backupUnit, Rate: backup, Args: []string{
			"--target", "tcp:" + t.remoteAddr, "--service", "bench", "--framing", framing, "--connections", "8", "--depth", "4",
		}})
	}
	var most map[string]float64
	var looks *watcher
	if backup == 0 { // a look costs time, of which a remote proxy that is full has none
		looks = watch(ctx, t.remote, "bellhop_calls_in_flight")
	}
	run, err := s.Load(ctx, governed.Measure{Warmup: warmup, Duration: s.Duration}, all)
	if looks != nil {
		most = looks.end()
	}
	if err != nil {
		return nil, err
	}
	local, err := prove.Scrape(ctx, t.local.Admin)
	if err != nil {
		return nil, err
	}
	remote, err := prove.Scrape(ctx, t.remote.Admin)
	if err != nil {
		return nil, err
	}
	figures(run, local, remote)
	run.Figures["remote in flight, most"] = most["bellhop_calls_in_flight"]
	return run, nil
}

const backupUnit = "orphan.service"

// figures computes what the rows say of a run.
func figures(run *governed.Run, local, remote prove.Metrics) {
	f := run.Figures
	apps, orphan := run.Sources[:sources], run.Sources[sources:]
	f["goodput"] = goodput(run.Sources)
	f["failed"], f["failed early"] = failures(apps)
	f["p99 µs"], f["local p99 µs"] = governed.Merged(apps, 99), governed.MergedLocal(apps, 99)
	f["refusal p99 µs"] = governed.Refused(apps, 99)
	var away, calls float64
	for _, x := range apps {
		away, calls = away+float64(x.Remote), calls+float64(x.Calls)
	}
	f["handed over"] = local.Sum("bellhop_handed_over_total")
	f["remote %"] = 100 * away / max(calls, 1)
	f["moved sources"] = local.Sum("bellhop_moved_sources")
	f["grant"] = grantCalls
	for name, v := range remote {
		if strings.HasPrefix(name, "bellhop_calls_total{") || strings.HasPrefix(name, "bellhop_refused_messages_total{") {
			if strings.Contains(name, `code="grant"`) {
				f["beyond the grant"] += v
			}
		}
	}
	f["beyond the grant"] += 0
	for name, v := range local {
		if strings.HasPrefix(name, "bellhop_pressure") || strings.HasPrefix(name, "bellhop_protection_measures_total") {
			f["local "+name] = v
		}
	}
	for name, v := range remote {
		if strings.HasPrefix(name, "bellhop_pressure") || strings.HasPrefix(name, "bellhop_protection_measures_total") {
			f["remote "+name] = v
		}
	}
	if len(orphan) > 0 {
		failed, _ := failures(orphan)
		f["backup served"] = float64(orphan[0].Calls) / max(float64(orphan[0].Calls)+failed, 1)
		f["backup p99 µs"] = float64(orphan[0].Latency.P99)
	}
}

// both: the remote tier has no more than the local one, and gets as much again as it can carry.
func both(ctx context.Context, s *governed.Stage) error {
	server, err := s.Serve("--framing", framing)
	if err != nil {
		return err
	}
	most, err := carries(ctx, s, server)
	if err != nil {
		return err
	}
	steps := []float64{1.5, 2, times}
	byStep := map[float64][]*governed.Run{}
	for i := range s.Pairs {
		for _, x := range steps {
			run, err := s.Valid(ctx, fmt.Sprintf("%.1f× of the local capacity", x), i, func(ctx context.Context) (*governed.Run, error) {
				return spill(ctx, s, server, s.Share, most*x, most/10, settle)
			})
			if err != nil {
				return err
			}
			byStep[x] = append(byStep[x], run)
		}
	}
	of := func(x float64, name string) governed.Span {
		var v []float64
		for _, r := range byStep[x] {
			v = append(v, r.Figures[name])
		}
		return governed.SpanOf(v)
	}
	peak, text := 0.0, ""
	for _, x := range steps {
		g := of(x, "goodput")
		peak = max(peak, g.Mid)
		text += fmt.Sprintf("%.1f×: %.0f, ", x, g.Mid)
	}
	s.Table.Note("remote tier no stronger than the local: calls/s served, by what is offered", strings.TrimSuffix(text, ", "))
	good := of(times, "goodput")
	good.Low, good.Mid, good.High = good.Low/peak, good.Mid/peak, good.High/peak
	s.Table.Add("both overloaded (3×): served, to the peak", fmt.Sprintf("≥ %.2f", goodLeast), good.String(), good.Mid >= goodLeast)
	late := of(times, "refusal p99 µs")
	s.Table.Note("… refused or failed, calls a run; of the measured time and before", of(times, "failed").Format("%.0f", 1)+"; "+of(times, "failed early").Format("%.0f", 1))
	s.Table.Add("… p99 of the time until a call was refused, ms", "≤ 5", late.Format("%.1f", 1000), late.Mid <= refusal)
	back := of(times, "backup served")
	s.Table.Add("… callers whose local proxy is gone: served", fmt.Sprintf("≥ %.0f %%", 100*served), back.Format("%.1f %%", 0.01), back.Mid >= served)
	s.Table.Note("… their p99, ms", of(times, "backup p99 µs").Format("%.1f", 1000))
	s.Table.Note("… p99 of calls that are served, ms", of(times, "p99 µs").Format("%.1f", 1000))
	s.Table.Note("… CPU, cores", governed.CPU(byStep[times]))
	return nil
}
