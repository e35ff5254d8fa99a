package govern

import (
	"slices"
	"time"
)

// Rule is what is wanted of the calls that match. An action that is its zero value is not spoken of.
type Rule struct {
	Name     string
	Match    Match
	Deadline time.Duration
	Retry    *Retry
	Limit    *Limit
	Breaker  *Breaker
	Access   Access
	Split    *Split
	Remote   *bool
}

// Access is what a rule says of it.
type Access uint8

// What it can say. AccessAllow matters where a later rule denies.
const (
	AccessUnsaid Access = iota
	AccessAllow
	AccessDeny
)

// Speaks reports whether the rule says something of an action.
func (r *Rule) Speaks(a Action) bool {
	switch a {
	case ActDeadline:
		return r.Deadline > 0
	case ActRetry:
		return r.Retry != nil
	case ActLimit:
		return r.Limit != nil
	case ActBreaker:
		return r.Breaker != nil
	case ActAccess:
		return r.Access != AccessUnsaid
	case ActSplit:
		return r.Split != nil
	case ActRemote:
		return r.Remote != nil
	}
	return false
}

// Rules are all rules of a document, in its order. Immutable once they are in force, but for the state of limits: safe for
// concurrent use. The methods of a nil *Rules answer for no rules at all.
type Rules struct {
	list    []Rule
	exact   map[string][]int // rules that name services, by name; numbers in list, ascending
	general []int            // rules that may speak of any service
	sources []SourceRule
}

// New makes rules. What it is given is not to be changed afterwards.
func New(list []Rule, sources []SourceRule) *Rules {
	r := &Rules{list: list, exact: map[string][]int{}, sources: sources}
	for i := range list {
		if l := list[i].Limit; l != nil {
			l.Rule = list[i].Name
			l.state = newLimiter(l)
		}
		r.index(i)
	}
	r.shareKeys()
	return r
}

// shareKeys gives every limit its part of the keys.
func (r *Rules) shareKeys() {
	limits := 0
	for i := range r.list {
		if r.list[i].Limit != nil {
			limits++
		}
	}
	for i := range r.list {
		if l := r.list[i].Limit; l != nil {
			l.state.share(limits)
		}
	}
}

func (r *Rules) index(i int) {
	services := r.list[i].Match.Service
	if len(services) == 0 || slices.ContainsFunc(services, func(p Pattern) bool { return !p.Exact() }) {
		r.general = append(r.general, i)
		return
	}
	for _, p := range services {
		if l := r.exact[p.text]; len(l) == 0 || l[len(l)-1] != i { // named twice
			r.exact[p.text] = append(l, i)
		}
	}
}

// Inherit takes over the state of limits that are the same in the rules before: by name, numbers and what they count for.
// To be called before these rules are in force.
func (r *Rules) Inherit(before *Rules) {
	if r == nil || before == nil || r == before {
		return
	}
	old := map[string]*Limit{}
	for i := range before.list {
		if l := before.list[i].Limit; l != nil {
			old[before.list[i].Name] = l
		}
	}
	for i := range r.list {
		l := r.list[i].Limit
		if l == nil {
			continue
		}
		if o := old[r.list[i].Name]; o != nil && o.counts(l) {
			l.state = o.state
		}
	}
	r.shareKeys()
}

// Len is how many rules there are.
func (r *Rules) Len() int {
	if r == nil {
		return 0
	}
	return len(r.list)
}

// Rule returns a rule by its number, from 0.
func (r *Rules) Rule(i int) *Rule { return &r.list[i] }

// candidates calls f with the numbers of the rules that may speak of a service, ascending.
func (r *Rules) candidates(service string, f func(i int)) {
	a, b := r.exact[service], r.general
	for len(a)+len(b) > 0 {
		if len(b) == 0 || len(a) > 0 && a[0] < b[0] {
			f(a[0])
			a = a[1:]
		} else {
			f(b[0])
			b = b[1:]
		}
	}
}
