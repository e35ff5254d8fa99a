package govern

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// header is header keys for tests.
type header map[string]string

// Find copies the value on the way: what is looked at has no pointer into the rules.
func (h header) Find(key string) ([]byte, bool) {
	v, ok := h[key]
	return []byte(v), ok
}

var yes, no = true, false

// TestFirstCounts: for each action the first rule that matches and speaks of it, and all limits.
func TestFirstCounts(t *testing.T) {
	l1, l2 := &Limit{Concurrency: 1}, &Limit{Concurrency: 2}
	retry := &Retry{Attempts: 2}
	r := New([]Rule{
		{Name: "v2", Match: Match{Condition: Condition{Version: patterns(t, "2")}}, Deadline: 2 * time.Second, Limit: l1},
		{Name: "other service", Match: Match{Condition: Condition{Service: patterns(t, "T")}}, Access: AccessDeny},
		{Name: "base", Match: Match{Condition: Condition{Service: patterns(t, "S", "S", "X")}}, Deadline: time.Second, Retry: retry, Limit: l2, Access: AccessAllow},
		{Name: "late", Deadline: time.Minute, Access: AccessDeny, Remote: &yes},
		{Name: "later", Remote: &no},
	}, nil)
	if r.Len() != 5 || r.Rule(2).Name != "base" || r.Sources() != 0 {
		t.Fatal("the rules are others")
	}
	res := r.Resolve("S", "m", &Source{}, nil)
	if !res.Depends() {
		t.Fatal("the version is not looked at")
	}
	v1, v2 := res.For(&Call{Version: []byte("1")}), res.For(&Call{Version: []byte("2")})
	if p := v1.Policy; p.Deadline != time.Second || p.Retry != retry || p.Deny || !p.Remote || !slices.Equal(p.Limits, []*Limit{l2}) ||
		p.By != [NumActions]string{ActDeadline: "base", ActRetry: "base", ActLimit: "base", ActAccess: "base", ActRemote: "late"} {
		t.Errorf("version 1: %+v", p)
	}
	if p := v2.Policy; p.Deadline != 2*time.Second || p.Retry != retry || p.Deny || !slices.Equal(p.Limits, []*Limit{l1, l2}) || p.By[ActDeadline] != "v2" || p.By[ActLimit] != "v2" {
		t.Errorf("version 2: %+v", p)
	}
	if v1 != res.For(&Call{}) || v2 != res.For(&Call{Version: []byte("2")}) {
		t.Error("what was decided is not remembered")
	}
	names := func(d *Decision) (out []string) {
		for _, m := range d.Rules {
			out = append(out, m.Name)
		}
		return out
	}
	if got := names(v2); !slices.Equal(got, []string{"v2", "base", "late"}) || !v2.Rules[0].Actions[ActDeadline] || v2.Rules[1].Actions[ActDeadline] {
		t.Errorf("%+v", v2.Rules)
	}
	if d := r.Resolve("T", "m", &Source{}, nil).For(&Call{}); !d.Policy.Deny || d.Policy.By[ActAccess] != "other service" {
		t.Errorf("the other service: %+v", d.Policy)
	}
	var none *Rules
	if d := none.Resolve("S", "m", &Source{}, nil).For(&Call{}); len(d.Rules) != 0 || none.Len() != 0 || none.Source(&Source{}) != (SourcePolicy{}) || none.Limits(0) != nil {
		t.Error("no rules say something")
	}
}

// TestCounters: each rule counts what it has decided, and nothing else.
func TestCounters(t *testing.T) {
	r := New([]Rule{{Name: "a", Deadline: 1, Access: AccessAllow}, {Name: "b", Deadline: 2, Remote: &yes}}, nil)
	counts := map[string]*Counts{"a": {}, "b": {}}
	d := r.Resolve("S", "m", &Source{}, func(rule string) *Counts { return counts[rule] }).For(&Call{})
	d.Count()
	d.Count()
	if counts["a"].Calls != [NumActions]uint64{ActDeadline: 2, ActAccess: 2} || counts["b"].Calls != [NumActions]uint64{ActRemote: 2} {
		t.Errorf("%+v, %+v", counts["a"], counts["b"])
	}
}

// TestSources: the first entry that matches.
func TestSources(t *testing.T) {
	r := New(nil, []SourceRule{
		{Match: Condition{Namespace: patterns(t, "shop")}, Not: []Condition{{PodLabels: []Named{{"team", patterns(t, "x")}}}}, SourcePolicy: SourcePolicy{Weight: 4}},
		{Match: Condition{Unit: patterns(t, "*")}, SourcePolicy: SourcePolicy{Privileged: true}},
		{SourcePolicy: SourcePolicy{WorkloadWeight: 2}},
	})
	for i, c := range []struct {
		src  Source
		want SourcePolicy
	}{
		{Source{Namespace: "shop"}, SourcePolicy{Weight: 4}},
		{Source{Namespace: "shop", PodLabels: map[string]string{"team": "x"}}, SourcePolicy{WorkloadWeight: 2}},
		{Source{Unit: "a.service"}, SourcePolicy{Privileged: true}},
		{Source{}, SourcePolicy{WorkloadWeight: 2}},
	} {
		if got := r.Source(&c.src); got != c.want {
			t.Errorf("source %d: %+v", i, got)
		}
		if r.Resolve("S", "m", &c.src, nil).Privileged != c.want.Privileged {
			t.Errorf("source %d: privileged", i)
		}
	}
}

// naive says whether a rule speaks of a call, by its definition alone.
func naive(m *Match, service, method string, src *Source, call *Call) bool {
	all := func(c *Condition) bool {
		ok := c.Service.take(service) && c.Method.take(method) && c.Source.take(src.Key) && c.Namespace.take(src.Namespace) &&
			c.Workload.take(src.Workload) && c.Unit.take(src.Unit) && c.Version.take(string(call.Version)) && c.Caller.take(string(call.Caller))
		for _, n := range c.PodLabels {
			ok = ok && n.take(src.PodLabels[n.Key])
		}
		for _, n := range c.Header {
			v, _ := call.Header.Find(n.Key)
			ok = ok && n.take(string(v))
		}
		return ok
	}
	return all(&m.Condition) && !slices.ContainsFunc(m.Not, func(c Condition) bool { return all(&c) })
}

// randomCondition demands something of some keys, of few values so that they often meet.
func randomCondition(t *testing.T, rnd *rand.Rand) (c Condition) {
	for _, into := range []*Patterns{&c.Service, &c.Method, &c.Source, &c.Namespace, &c.Workload, &c.Unit, &c.Version, &c.Caller} {
		if rnd.IntN(5) == 0 {
			*into = patterns(t, [][]string{{"a"}, {"b", "a"}, {"a*"}, {"~[ab]"}, {"*"}}[rnd.IntN(5)]...)
		}
	}
	if rnd.IntN(6) == 0 {
		c.PodLabels = []Named{{"l", patterns(t, "a")}}
	}
	if rnd.IntN(6) == 0 {
		c.Header = []Named{{"h", patterns(t, "a")}, {"i", patterns(t, "*")}}
	}
	return c
}

// TestAgainstDefinition: whatever the rules and the calls, what is decided in two steps and remembered is what the
// definition says.
func TestAgainstDefinition(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	word := func() string { return []string{"", "a", "b", "ab"}[rnd.IntN(4)] }
	for round := range 300 {
		list := make([]Rule, 1+rnd.IntN(90))
		for i := range list {
			r := Rule{Name: fmt.Sprint(i), Match: Match{Condition: randomCondition(t, rnd)}}
			for range rnd.IntN(3) {
				if c := randomCondition(t, rnd); !c.empty() {
					r.Match.Not = append(r.Match.Not, c)
				}
			}
			switch rnd.IntN(3) {
			case 0:
				r.Deadline = time.Duration(i + 1)
			case 1:
				r.Access = Access(1 + rnd.IntN(2))
			default:
				r.Limit = &Limit{Concurrency: i + 1}
			}
			list[i] = r
		}
		rules := New(list, nil)
		for range 20 {
			service, method := word(), word()
			src := &Source{Key: word(), Workload: word(), Namespace: word(), Unit: word(), PodLabels: map[string]string{"l": word()}}
			res := rules.Resolve(service, method, src, nil)
			for range 20 {
				call := &Call{Version: []byte(word()), Caller: []byte(word()), Header: header{"h": word(), "i": word()}}
				got := res.For(call).Policy
				var want Policy
				for i := range list {
					r := &list[i]
					if !naive(&r.Match, service, method, src, call) {
						continue
					}
					if r.Limit != nil {
						want.Limits = append(want.Limits, r.Limit)
					}
					if r.Deadline > 0 && want.Deadline == 0 {
						want.Deadline = r.Deadline
					}
					if r.Access != AccessUnsaid && want.By[ActAccess] == "" {
						want.By[ActAccess], want.Deny = r.Name, r.Access == AccessDeny
					}
				}
				if got.Deadline != want.Deadline || got.Deny != want.Deny || got.By[ActAccess] != want.By[ActAccess] || !slices.Equal(got.Limits, want.Limits) {
					t.Fatalf("round %d: %s.%s by %+v, %+v: got %+v, want %+v", round, service, method, src, call, got, want)
				}
			}
		}
	}
}

// TestManyWays: a document can ask for so many things of calls that not every way through them is remembered; what is
// decided is right all the same.
func TestManyWays(t *testing.T) {
	list := make([]Rule, MaxRules)
	for i := range list {
		list[i] = Rule{Name: fmt.Sprint(i), Limit: &Limit{Concurrency: i + 1}, Match: Match{Condition: Condition{Header: []Named{{fmt.Sprint(i), patterns(t, "a")}}}}}
	}
	res := New(list, nil).Resolve("S", "m", &Source{}, nil)
	for i := range 3000 {
		h := header{fmt.Sprint(i % MaxRules): "a", fmt.Sprint(i * 7 % MaxRules): "a"}
		d := res.For(&Call{Header: h})
		if len(d.Policy.Limits) != len(h) || d.Policy.By[ActLimit] != fmt.Sprint(min(i%MaxRules, i*7%MaxRules)) {
			t.Fatalf("call %d with %v: %v", i, h, d.Policy.By)
		}
	}
	if res.nodes > maxNodes {
		t.Errorf("%d nodes", res.nodes)
	}
}
