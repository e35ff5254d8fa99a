package targets

import (
	"fmt"
	"slices"
)

// Span is a median and the range around it.
type Span struct{ Low, Mid, High float64 }

// Of is the span of values, which it leaves as they are; of none it is zero.
func Of(values []float64) Span {
	if len(values) == 0 {
		return Span{}
	}
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return Span{v[0], (v[(n-1)/2] + v[n/2]) / 2, v[n-1]}
}

// Verdict is a target with what was measured for it.
type Verdict struct {
	Target
	Span
	Values []float64
	Met    bool
}

// Judge compares values, of which there must be one at least, with the target that has the key.
func Judge(key string, values []float64) (Verdict, error) {
	all := Catalogue()
	i := slices.IndexFunc(all, func(t Target) bool { return t.Key == key })
	if i < 0 {
		return Verdict{}, fmt.Errorf("target %q: is not in the catalogue", key)
	}
	if len(values) == 0 {
		return Verdict{}, fmt.Errorf("target %q: no values", key)
	}
	v := Verdict{Target: all[i], Span: Of(values), Values: values}
	v.Met = v.holds(v.judged())
	return v, nil
}

// judged is the value that counts.
func (v *Verdict) judged() float64 {
	switch {
	case !v.Worst:
		return v.Mid
	case v.AtLeast:
		return v.Low
	}
	return v.High
}

// holds compares what would be printed: a bound of 0.55 is met by 0.554.
func (t *Target) holds(x float64) bool {
	if t.AtLeast {
		return t.printed(x) >= t.printed(t.Bound)
	}
	return t.printed(x) <= t.printed(t.Bound)
}

func (t *Target) printed(x float64) float64 {
	var v float64
	_, _ = fmt.Sscan(t.number(x), &v)
	return v
}

func (t *Target) number(x float64) string {
	scale := t.Scale
	if scale == 0 {
		scale = 1
	}
	return fmt.Sprintf("%.*f", t.Decimals, x/scale)
}

// Say writes a value with its unit.
func (t *Target) Say(x float64) string {
	if t.Unit == "" {
		return t.number(x)
	}
	return t.number(x) + " " + t.Unit
}

// Aim writes the bound.
func (t *Target) Aim() string {
	if t.AtLeast {
		return "≥ " + t.Say(t.Bound)
	}
	return "≤ " + t.Say(t.Bound)
}

// Measured writes the value that counts.
func (v *Verdict) Measured() string { return v.Say(v.judged()) }

// Range writes the least and the greatest value.
func (v *Verdict) Range() string { return v.number(v.Low) + "–" + v.number(v.High) }

// Word is met or missed.
func (v *Verdict) Word() string {
	if v.Met {
		return "met"
	}
	return "missed"
}
