package govern

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Uncounted is for Resolve, where nothing is to be counted.
func Uncounted(string) *Counts { return &Counts{} }

// Judgement is what one rule says of one call, and why.
type Judgement struct {
	Rule    string   `json:"rule"`
	Matches bool     `json:"matches"`
	Decides []string `json:"decides"` // the actions in which it counts
	Passed  []string `json:"passed"`  // those that it speaks of, and a rule before it has decided
	Key     string   `json:"key,omitempty"`
	Why     string   `json:"why,omitempty"` // why it does not match: what was wanted of Key, and what is there
}

// Explain says of every rule, in their order, whether it matches a call and what it decides. It asks what Resolve and For
// ask, and is for a person, not for a call. Safe for concurrent use.
func (r *Rules) Explain(service, method string, src *Source, call *Call) []Judgement {
	out := make([]Judgement, 0, r.Len())
	if r == nil {
		return out
	}
	counts := map[string]*Matched{}
	decision := r.Resolve(service, method, src, Uncounted).For(call)
	for i := range decision.Rules {
		counts[decision.Rules[i].Name] = &decision.Rules[i]
	}
	for i := range r.list {
		rule := &r.list[i]
		j := Judgement{Rule: rule.Name, Decides: []string{}, Passed: []string{}}
		left, verdict, key := rule.Match.narrow(service, method, src)
		if verdict == depends {
			key = left.unmetBy(call)
		}
		if j.Matches = key == ""; j.Matches {
			j.decides(rule, counts[rule.Name])
		} else {
			j.Key, j.Why = rule.Match.why(key, service, method, src, call)
		}
		out = append(out, j)
	}
	return out
}

func (j *Judgement) decides(rule *Rule, counts *Matched) {
	for a := range NumActions {
		switch {
		case !rule.Speaks(Action(a)):
		case counts != nil && counts.Actions[a]:
			j.Decides = append(j.Decides, Action(a).String())
		default:
			j.Passed = append(j.Passed, Action(a).String())
		}
	}
}

// why says what a rule wanted of the key that decided, and what is there.
func (m *Match) why(key, service, method string, src *Source, call *Call) (fullKey, why string) {
	if key == "not" {
		for i := range m.Not {
			n := &m.Not[i]
			if n.unmet(service, method, src) == "" && n.unmetByCall(call) == "" {
				return key, "excluded by not: " + n.String()
			}
		}
		return key, "excluded by not"
	}
	label, isLabel := strings.CutPrefix(key, "pod_labels.")
	switch {
	case isLabel:
		return key, named(m.PodLabels, label, src.PodLabels[label])
	case key == "header":
		for _, n := range m.Header {
			v := call.find(n.Key)
			if !n.takeBytes(v) {
				return "header." + n.Key, differs(string(v), n.Patterns)
			}
		}
	}
	is := map[string]string{
		"service": service, "method": method, "source": src.Key, "namespace": src.Namespace, "workload": src.Workload, "unit": src.Unit,
		"version": string(call.Version), "caller": string(call.Caller),
	}
	return key, differs(is[key], m.wants(key))
}

// wants is what a condition demands of a key that has one value.
func (c *Condition) wants(key string) Patterns {
	return map[string]Patterns{
		"service": c.Service, "method": c.Method, "source": c.Source, "namespace": c.Namespace, "workload": c.Workload, "unit": c.Unit,
		"version": c.Version, "caller": c.Caller,
	}[key]
}

func (call *Call) find(key string) []byte {
	if call.Header == nil {
		return nil
	}
	v, _ := call.Header.Find(key)
	return v
}

func named(list []Named, key, value string) string {
	for _, n := range list {
		if n.Key == key && !n.take(value) {
			return differs(value, n.Patterns)
		}
	}
	return ""
}

func differs(value string, want Patterns) string {
	if value == "" {
		return "is not there; it must be " + want.String()
	}
	return fmt.Sprintf("is %q; it must be %s", value, want)
}

// String is the patterns as they were written.
func (ps Patterns) String() string {
	words := make([]string, len(ps))
	for i := range ps {
		words[i] = ps[i].String()
	}
	return strings.Join(words, " or ")
}

// String is the condition as a person reads it: its keys with what they demand.
func (c *Condition) String() string {
	var words []string
	for _, key := range [...]string{"service", "method", "source", "namespace", "workload", "unit", "version", "caller"} {
		if p := c.wants(key); len(p) > 0 {
			words = append(words, key+" "+p.String())
		}
	}
	for _, n := range c.PodLabels {
		words = append(words, "pod_labels."+n.Key+" "+n.Patterns.String())
	}
	for _, n := range c.Header {
		words = append(words, "header."+n.Key+" "+n.Patterns.String())
	}
	return strings.Join(words, ", ")
}

// Said is what a policy says of one action.
type Said struct {
	Action string `json:"action"`
	Value  string `json:"value"`
	Rule   string `json:"rule"`
}

// Says lists what a policy says, but for its limits, in the order of the actions.
func (p *Policy) Says() []Said {
	out := []Said{}
	for a, rule := range p.By {
		if rule != "" && Action(a) != ActLimit {
			out = append(out, Said{Action: Action(a).String(), Value: p.value(Action(a)), Rule: rule})
		}
	}
	return out
}

func (p *Policy) value(a Action) string {
	switch {
	case a == ActDeadline:
		return p.Deadline.String()
	case a == ActRetry && p.Retry != nil:
		return p.Retry.String()
	case a == ActBreaker && p.Breaker != nil:
		return p.Breaker.String()
	case a == ActAccess:
		return map[bool]string{true: "deny", false: "allow"}[p.Deny]
	case a == ActSplit && p.Split != nil:
		return p.Split.String()
	case a == ActRemote:
		return map[bool]string{true: "true", false: "false"}[p.Remote]
	}
	return ""
}

// String is what is sent again, as a person reads it.
func (r *Retry) String() string {
	if r.Attempts == 0 {
		return "never"
	}
	var on []string
	for c := range NumClasses {
		if r.On.Has(Class(c)) {
			on = append(on, Class(c).String())
		}
	}
	s := fmt.Sprintf("at most %d after %s", r.Attempts, strings.Join(on, ", "))
	if r.Backoff > 0 {
		s += fmt.Sprintf(", back-off %s", r.Backoff)
		if r.MaxBackoff > 0 {
			s += fmt.Sprintf("…%s", r.MaxBackoff)
		}
	}
	if r.PerTry > 0 {
		s += fmt.Sprintf(", %s for each", r.PerTry)
	}
	if r.Idempotent {
		s += ", may run twice"
	}
	return s
}

// String is when it opens, as a person reads it.
func (b *Breaker) String() string {
	var when []string
	if b.ErrorRate > 0 {
		when = append(when, fmt.Sprintf("%.3g%% failed", b.ErrorRate*100))
	}
	if b.SlowRate > 0 {
		when = append(when, fmt.Sprintf("%.3g%% slower than %s", b.SlowRate*100, b.Slow))
	}
	return fmt.Sprintf("by %s: %s, of %d calls or more in %s; for %s…%s", [...]string{"endpoint", "method"}[b.Scope&1],
		strings.Join(when, " or "), b.MinCalls, b.Window, b.OpenFor, b.MaxOpen)
}

// String is the parts with their weights.
func (s *Split) String() string {
	parts := make([]string, len(s.Parts))
	for i := range s.Parts {
		parts[i] = s.Parts[i].String()
		if len(s.Parts) > 1 {
			parts[i] = fmt.Sprintf("%.3g%% to %s", float64(s.Parts[i].Weight)*100/float64(max(s.Total, 1)), parts[i])
		}
	}
	text := strings.Join(parts, ", ")
	if s.Sticky != "" {
		text += ", the same for the same " + s.Sticky
	}
	return text
}

// String is which endpoints it has.
func (p *Part) String() string {
	var words []string
	if p.Version != "" {
		words = append(words, "version "+p.Version)
	}
	if p.Zone != "" {
		words = append(words, "zone "+p.Zone)
	}
	for _, k := range slices.Sorted(maps.Keys(p.Labels)) {
		words = append(words, k+" "+p.Labels[k])
	}
	if len(words) == 0 {
		words = append(words, "all")
	}
	if p.Strict {
		words = append(words, "and no others")
	}
	return strings.Join(words, " ")
}

// String returns the word used in rules.
func (e Excess) String() string { return [...]string{"reject", "queue", "overflow"}[min(e, Overflow)] }
