package govern

// MaxRules bounds the rules of a document.
const MaxRules = 1000

// maxNodes bounds what one Resolved remembers of the ways that calls went through its rules. Calls on further ways cost
// allocations.
const maxNodes = 1024

// Resolved is what rules say of the calls of one source to one method. It belongs to who asked: one goroutine at a time.
type Resolved struct {
	Privileged bool // the source passes limits

	service, method string
	src             *Source
	counts          func(rule string) *Counts
	steps           []step
	static          *Decision // nil: it depends on the call
	root            *node
	nodes           int
}

// step is a rule that speaks of such calls, or may.
type step struct {
	rule    *Rule
	depends bool
	left    narrowed // depends: what decides
}

// node is how far calls have come through the steps that depend on them.
type node struct {
	next     int              // the step to ask, or len(steps)
	decided  [NumActions]bool // before it
	yes, no  *node
	decision *Decision // at the end
}

// Resolve looks at all that service, method and source tell. It is for what a worker has not met yet, not for each call;
// src and counts are kept: counts returns the counters of a rule, nil counts nothing. Safe for concurrent use.
func (r *Rules) Resolve(service, method string, src *Source, counts func(rule string) *Counts) *Resolved {
	out := &Resolved{service: service, method: method, src: src, counts: counts}
	if r == nil {
		out.static = &Decision{}
		return out
	}
	out.Privileged = r.Source(src).Privileged
	var decided [NumActions]bool // for all calls
	dynamic := false
	r.candidates(service, func(i int) {
		rule := &r.list[i]
		if !rule.adds(&decided) {
			return
		}
		left, verdict, _ := rule.Match.narrow(service, method, src)
		switch verdict {
		case never:
			return
		case always:
			rule.decides(&decided)
		case depends:
			dynamic = true
		}
		out.steps = append(out.steps, step{rule: rule, depends: verdict == depends, left: left})
	})
	if !dynamic {
		out.static = out.decide(nil)
		out.steps = nil
	}
	return out
}

// adds reports whether the rule says something that is not decided yet.
func (r *Rule) adds(decided *[NumActions]bool) bool {
	for a := range decided {
		if r.Speaks(Action(a)) && (!decided[a] || Action(a) == ActLimit) {
			return true
		}
	}
	return false
}

// Depends reports whether what is decided depends on the call: For then looks at it.
func (r *Resolved) Depends() bool { return r.static == nil }

// matched says which of the steps that depend on a call have matched, by their number among all.
type matched [(MaxRules + 63) / 64]uint64

// For returns what is decided of a call. It allocates nothing once such a call has come before.
func (r *Resolved) For(call *Call) *Decision {
	if r.static != nil {
		return r.static
	}
	var m matched
	if r.root == nil {
		r.root = r.node(0, [NumActions]bool{})
	}
	at := r.root
	for at.next < len(r.steps) {
		s := &r.steps[at.next]
		way := &at.no
		if s.left.unmetBy(call) == "" {
			m[at.next/64] |= 1 << (at.next % 64)
			way = &at.yes
		}
		at = r.follow(at, way)
	}
	if at.decision == nil {
		at.decision = r.decide(&m)
	}
	return at.decision
}

// follow goes on by one of a node's ways, and remembers where it leads while there is room.
func (r *Resolved) follow(at *node, way **node) *node {
	if *way != nil {
		return *way
	}
	decided := at.decided
	if way == &at.yes {
		r.steps[at.next].rule.decides(&decided)
	}
	n := r.node(at.next+1, decided)
	if r.nodes < maxNodes {
		*way = n
		r.nodes++
	}
	return n
}

// node is where a call is that has come to a step. Steps that say nothing any more which is not decided are passed over.
func (r *Resolved) node(step int, decided [NumActions]bool) *node {
	for ; step < len(r.steps); step++ {
		s := &r.steps[step]
		if !s.depends {
			s.rule.decides(&decided)
		} else if s.rule.adds(&decided) {
			break
		}
	}
	return &node{next: step, decided: decided}
}

// decides notes what the rule speaks of as decided.
func (r *Rule) decides(decided *[NumActions]bool) {
	for a := range decided {
		decided[a] = decided[a] || r.Speaks(Action(a))
	}
}

// decide puts together what the steps say that match.
func (r *Resolved) decide(m *matched) *Decision {
	d := &Decision{}
	var decided [NumActions]bool
	for i := range r.steps {
		s := &r.steps[i]
		if s.depends && m[i/64]&(1<<(i%64)) == 0 {
			continue
		}
		d.Rules = append(d.Rules, Matched{Name: s.rule.Name})
		last := &d.Rules[len(d.Rules)-1]
		for a := range decided {
			if !s.rule.Speaks(Action(a)) || decided[a] && Action(a) != ActLimit {
				continue
			}
			last.Actions[a] = true
			if r.counts != nil {
				d.counters = append(d.counters, &r.counts(s.rule.Name).Calls[a])
			}
			if !decided[a] {
				d.Policy.By[a] = s.rule.Name
			}
			decided[a] = true
			d.take(s.rule, Action(a), r)
		}
		if last.Actions == [NumActions]bool{} {
			d.Rules = d.Rules[:len(d.Rules)-1]
		}
	}
	return d
}

func (d *Decision) take(rule *Rule, a Action, r *Resolved) {
	p := &d.Policy
	switch a {
	case ActDeadline:
		p.Deadline = rule.Deadline
	case ActRetry:
		p.Retry = rule.Retry
	case ActLimit:
		p.Limits = append(p.Limits, rule.Limit)
		d.limits = append(d.limits, keyOf(rule.Limit, r))
	case ActBreaker:
		p.Breaker = rule.Breaker
	case ActAccess:
		p.Deny = rule.Access == AccessDeny
	case ActSplit:
		p.Split = rule.Split
	case ActRemote:
		p.Remote = *rule.Remote
	}
}
