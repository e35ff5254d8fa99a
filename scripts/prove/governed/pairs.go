package governed

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"time"
)

// tries is how often a run is made that turns out invalid.
const tries = 5

// Valid makes a run, and makes it again while it is invalid, a few times. Every one of them is kept.
func (s *Stage) Valid(ctx context.Context, side string, pair int, make func(ctx context.Context) (*Run, error)) (*Run, error) {
	var last string
	for range tries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if s.before != nil {
			s.before(ctx)
		}
		r, err := make(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s, pair %d: %w", side, pair+1, err)
		}
		s.Keep(r, side, pair)
		if r.Invalid == "" {
			return r, nil
		}
		if s.Quick { // it is no proof, and the machine is not its own
			return r, nil
		}
		last = r.Invalid
		fmt.Fprintf(os.Stderr, " [%s, pair %d: %s]", side, pair+1, last)
	}
	return nil, fmt.Errorf("%s, pair %d: invalid %d times: %s", side, pair+1, tries, last)
}

// quiet waits until the other core is quiet, while nothing of ours runs on it; not for ever, since the run itself tells
// whether it was disturbed.
func quiet(ctx context.Context) {
	const still, patience, look = 0.9, 60 * time.Second, 250 * time.Millisecond
	for begun := time.Now(); time.Since(begun) < patience && ctx.Err() == nil; {
		before, err := readCore(OtherCore)
		pause(ctx, look)
		after, err2 := readCore(OtherCore)
		if err != nil || err2 != nil || after.idle-before.idle >= still*(after.total-before.total) {
			return
		}
	}
}

// Pair is one run of each side, made one after the other.
type Pair struct{ A, B *Run }

// Interleave makes pairs of runs. Which side is first alternates, so that a machine that slows down wrongs neither.
func (s *Stage) Interleave(ctx context.Context, a, b string, make func(ctx context.Context, side string) (*Run, error)) ([]Pair, error) {
	var all []Pair
	for i := range s.Pairs {
		var p Pair
		order := []string{a, b}
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, side := range order {
			r, err := s.Valid(ctx, side, i, func(ctx context.Context) (*Run, error) { return make(ctx, side) })
			if err != nil {
				return all, err
			}
			if side == a {
				p.A = r
			} else {
				p.B = r
			}
		}
		all = append(all, p)
		fmt.Fprint(os.Stderr, ".")
	}
	return all, nil
}

// Span is a median and the range around it.
type Span struct{ Low, Mid, High float64 }

// SpanOf is the span of values; of none it is not a number, which meets no target.
func SpanOf(values []float64) Span {
	if len(values) == 0 {
		return Span{math.NaN(), math.NaN(), math.NaN()}
	}
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return Span{v[0], (v[(n-1)/2] + v[n/2]) / 2, v[n-1]}
}

// String is the median with the range.
func (s Span) String() string { return s.Format("%.2f", 1) }

// Format writes median and range, divided by scale, each with the verb.
func (s Span) Format(verb string, scale float64) string {
	return fmt.Sprintf(verb+" ("+verb+"–"+verb+")", s.Mid/scale, s.Low/scale, s.High/scale)
}

// Each takes one figure of every pair.
func Each(pairs []Pair, f func(Pair) float64) Span {
	var v []float64
	for _, p := range pairs {
		v = append(v, f(p))
	}
	return SpanOf(v)
}

// Median of values, NaN of none.
func Median(values []float64) float64 { return SpanOf(values).Mid }

// Jain is Jain's index of fairness: 1 when all are equal, 1/n when one has everything.
func Jain(x []float64) float64 {
	var sum, squares float64
	for _, v := range x {
		sum += v
		squares += v * v
	}
	return sum * sum / (float64(len(x)) * squares)
}

// CPU says what every part used, medians over runs.
func CPU(runs []*Run) string {
	names := map[string][]float64{}
	var idle []float64
	for _, r := range runs {
		for part, v := range r.Cores {
			names[part] = append(names[part], v)
		}
		idle = append(idle, r.Idle)
	}
	text := ""
	for _, part := range slices.Sorted(func(yield func(string) bool) {
		for part := range names {
			if !yield(part) {
				return
			}
		}
	}) {
		text += fmt.Sprintf("%s %.3f, ", part, Median(names[part]))
	}
	return text + fmt.Sprintf("other core idle %.0f %% (least %.0f %%)", 100*Median(idle), 100*SpanOf(idle).Low)
}

// Runs are all runs of pairs.
func Runs(pairs []Pair) (all []*Run) {
	for _, p := range pairs {
		all = append(all, p.A, p.B)
	}
	return all
}
