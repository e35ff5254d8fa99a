package govern

import "slices"

// SourceRule says what share some sources have.
type SourceRule struct {
	Match Condition // of its demands those on sources
	Not   []Condition
	SourcePolicy
}

// SourcePolicy is the share of a source. The zero value says nothing of it.
type SourcePolicy struct {
	Weight         int  // of the source among those of its workload; 0: not said
	WorkloadWeight int  // of its workload among others; 0: not said
	Privileged     bool // it passes limits
}

// Source returns what the first of the source rules that matches says. It is for sources as they come, not for each call.
// Safe for concurrent use.
func (r *Rules) Source(src *Source) SourcePolicy {
	if r == nil {
		return SourcePolicy{}
	}
	for i := range r.sources {
		s := &r.sources[i]
		if s.Match.unmetBySource(src) == "" && !slices.ContainsFunc(s.Not, func(n Condition) bool { return n.unmetBySource(src) == "" }) {
			return s.SourcePolicy
		}
	}
	return SourcePolicy{}
}

// Sources is how many source rules there are.
func (r *Rules) Sources() int {
	if r == nil {
		return 0
	}
	return len(r.sources)
}
