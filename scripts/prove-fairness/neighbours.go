package main

import (
	"context"
	"fmt"

	"github.com/bellhop-mesh/bellhop/scripts/prove/governed"
)

// What nine sources feel of a tenth that has ten times their work. The quiet run has the same work, evenly spread.

const (
	delayMost = 1.10 // the nine's queue delay p99, noisy to quiet
	haPairs   = 3
)

// scene is the load of both runs of a pair.
type scene struct {
	name         string
	quiet, noisy func(target string) []governed.Source
}

// lines are the connections of a source, and how many calls each may have in flight.
type lines struct{ connections, depth int }

// moreCalls: the tenth makes ten times as many calls on as many connections.
var moreCalls = byNumbers("one source makes 10× the calls", lines{8, 16}, lines{8, 16}, lines{8, 64})

// moreConnections: the tenth has ten times the connections, each as busy as any.
var moreConnections = byNumbers("one source has 10× the connections", lines{15, 1}, lines{8, 1}, lines{80, 1})

// byNumbers: the tenth has ten times the small calls of each of the nine; even are the lines of each of ten alike.
func byNumbers(name string, even, polite, heavy lines) func(context.Context, *governed.Stage) error {
	return func(ctx context.Context, s *governed.Stage) error {
		return neighbours(ctx, s, func(_ *rig, total float64) (scene, error) {
			of := func(unit, target string, rate float64, l lines) governed.Source {
				return one(unit, target, rate, l.connections, l.depth, small)
			}
			return scene{
				name:  name,
				quiet: spread(func(t, unit string) []governed.Source { return list(of(unit, t, total/10, even)) }),
				noisy: apart(
					func(t, unit string) []governed.Source { return list(of(unit, t, total/19, polite)) },
					func(t string) governed.Source { return of(greedy, t, total*10/19, heavy) }),
			}, nil
		})
	}
}

// biggerCalls: the tenth makes calls of 64 KiB, as many as are ten times the work of another's calls.
func biggerCalls(ctx context.Context, s *governed.Stage) error {
	return neighbours(ctx, s, func(r *rig, total float64) (scene, error) {
		big, err := r.carries(ctx, large)
		if err != nil {
			return scene{}, err
		}
		cost := total / busy / big // of a big call, in small ones
		s.Table.Note("… a call of 64 KiB costs the proxy as much as so many of 128 bytes", fmt.Sprintf("%.1f", cost))
		each, bigs := total/19, total*10/19/cost
		return scene{
			name: fmt.Sprintf("one source makes calls of %d KiB, 10× the work", large>>10),
			quiet: spread(func(t, unit string) []governed.Source {
				return list(one(unit, t, each*9/10, 8, 16, small), one(unit, t, bigs/10, 4, 4, large))
			}),
			noisy: apart(
				func(t, unit string) []governed.Source { return list(one(unit, t, each, 8, 16, small)) },
				func(t string) governed.Source { return one(greedy, t, bigs, 8, 16, large) }),
		}, nil
	})
}

func list(s ...governed.Source) []governed.Source { return s }

// spread is a load of ten equal sources.
func spread(each func(target, unit string) []governed.Source) func(string) []governed.Source {
	return func(target string) (all []governed.Source) {
		for i := range 9 {
			all = append(all, each(target, polite(i))...)
		}
		return append(all, each(target, greedy)...)
	}
}

// apart is a load of nine equal sources and another.
func apart(each func(target, unit string) []governed.Source, other func(target string) governed.Source) func(string) []governed.Source {
	return func(target string) (all []governed.Source) {
		for i := range 9 {
			all = append(all, each(target, polite(i))...)
		}
		return append(all, other(target))
	}
}

// neighbours makes the pairs, first through bellhop, then through HAProxy.
func neighbours(ctx context.Context, s *governed.Stage, plan func(r *rig, total float64) (scene, error)) error {
	r, err := newRig(s)
	if err != nil {
		return err
	}
	most, err := r.carries(ctx, small)
	if err != nil {
		return err
	}
	sc, err := plan(r, most*busy)
	if err != nil {
		return err
	}
	sides := func(make func(context.Context, func(string) []governed.Source) (*governed.Run, error)) func(context.Context, string) (*governed.Run, error) {
		return func(ctx context.Context, side string) (*governed.Run, error) {
			sources := sc.noisy
			if side == "quiet" || side == "quiet, haproxy" {
				sources = sc.quiet
			}
			run, err := make(ctx, sources)
			if err == nil {
				note(run)
			}
			return run, err
		}
	}
	pairs, err := s.Interleave(ctx, "quiet", "noisy", sides(r.through))
	if err != nil {
		return err
	}
	judge(s, sc.name, pairs, most)
	s.Pairs = min(s.Pairs, haPairs)
	others, err := s.Interleave(ctx, "quiet, haproxy", "noisy, haproxy", sides(r.throughHAProxy))
	if err != nil {
		return err
	}
	s.Table.Note("… HAProxy: the nine's p99 end to end, noisy to quiet", ratio(others, "nine p99 µs").String()+
		fmt.Sprintf("; %.0f failed", sum(others, "nine failed")))
	return nil
}

// note computes what the row says of a run.
func note(run *governed.Run) {
	var nine []governed.Result
	var failed int64
	for _, x := range run.Sources {
		if isPolite(x.Unit) {
			nine = append(nine, x)
			failed += x.Fails()
		}
	}
	run.Figures["nine p50 µs"] = governed.Merged(nine, 50)
	run.Figures["nine p99 µs"] = governed.Merged(nine, 99)
	run.Figures["nine failed"] = float64(failed)
}

// ratio is a figure of the noisy run to that of the quiet one.
func ratio(pairs []governed.Pair, figure string) governed.Span {
	return governed.Each(pairs, func(p governed.Pair) float64 { return p.B.Figures[figure] / p.A.Figures[figure] })
}

// sum adds up a figure of the noisy runs.
func sum(pairs []governed.Pair, figure string) (n float64) {
	for _, p := range pairs {
		n += p.B.Figures[figure]
	}
	return n
}

func judge(s *governed.Stage, name string, pairs []governed.Pair, most float64) {
	delay := ratio(pairs, "nine delay p99 µs")
	quiet := governed.Each(pairs, func(p governed.Pair) float64 { return p.A.Figures["nine delay p99 µs"] })
	noisy := governed.Each(pairs, func(p governed.Pair) float64 { return p.B.Figures["nine delay p99 µs"] })
	s.Table.Add(name+": the nine's queue delay p99, noisy to quiet", fmt.Sprintf("≤ %.2f", delayMost), delay.String(), delay.Mid <= delayMost)
	s.Table.Note("… samples of it in a run, one call in 16",
		governed.Each(pairs, func(p governed.Pair) float64 { return p.A.Figures["nine delay samples"] }).Format("%.0f", 1)+", "+
			governed.Each(pairs, func(p governed.Pair) float64 { return p.B.Figures["nine delay samples"] }).Format("%.0f", 1))
	s.Table.Note("… the delays, µs", "quiet "+quiet.Format("%.0f", 1)+", noisy "+noisy.Format("%.0f", 1))
	failed := sum(pairs, "nine failed")
	s.Table.Add("… the nine's failed calls", "0", fmt.Sprintf("%.0f", failed), failed == 0)
	s.Table.Note("… the nine's p99 end to end, noisy to quiet", ratio(pairs, "nine p99 µs").String())
	s.Table.Note("… work offered, in calls/s of 128 bytes; what the proxy carries", fmt.Sprintf("%.0f; %.0f", most*busy, most))
	s.Table.Note("… CPU, cores", governed.CPU(governed.Runs(pairs)))
}

// flood: the tenth calls as fast as it is answered, on many connections; together they want more than there is. There is
// no quiet run of the same work: the nine alone are beside it. Figures only.
func flood(ctx context.Context, s *governed.Stage) error {
	r, err := newRig(s)
	if err != nil {
		return err
	}
	most, err := r.carries(ctx, small)
	if err != nil {
		return err
	}
	nine := func(t string) (all []governed.Source) {
		for i := range 9 {
			all = append(all, one(polite(i), t, most*busy/2/9, 8, 16, small))
		}
		return all
	}
	flooded := func(t string) []governed.Source { return append(nine(t), one(greedy, t, 0, 64, 8, small)) }
	s.Pairs = min(s.Pairs, haPairs)
	for _, proxy := range []struct {
		name string
		make func(context.Context, func(string) []governed.Source) (*governed.Run, error)
	}{{"bellhop", r.through}, {"HAProxy", r.throughHAProxy}} {
		pairs, err := s.Interleave(ctx, "alone, "+proxy.name, "flooded, "+proxy.name, func(ctx context.Context, side string) (*governed.Run, error) {
			sources := flooded
			if side == "alone, "+proxy.name {
				sources = nine
			}
			run, err := proxy.make(ctx, sources)
			if err == nil {
				note(run)
			}
			return run, err
		})
		if err != nil {
			return err
		}
		s.Table.Note("nine with 18 % of what the proxy carries, a tenth without measure, "+proxy.name+": the nine's p99 end to end to when they are alone",
			ratio(pairs, "nine p99 µs").String()+fmt.Sprintf("; %.0f failed", sum(pairs, "nine failed")))
		of := func(name string) string {
			return governed.Each(pairs, func(p governed.Pair) float64 { return p.B.Figures[name] }).Format("%.1f", 1000)
		}
		s.Table.Note("… p50 and p99 of the nine in the flood, ms", of("nine p50 µs")+"; "+of("nine p99 µs"))
	}
	return nil
}
