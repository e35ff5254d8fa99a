package govern

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestExplain: the first key by which a rule does not match is told with what it wanted; of two rules that speak of an action
// the first counts.
func TestExplain(t *testing.T) {
	p := func(texts ...string) Patterns { return patterns(t, texts...) }
	match := func(c Condition, not ...Condition) Match { return Match{Condition: c, Not: not} }
	rules := New([]Rule{
		{Name: "other", Match: match(Condition{Service: p("shop.*", "till")}), Deadline: time.Second},
		{Name: "lists", Match: match(Condition{Service: p("demo.*"), Method: p("list*")}), Deadline: time.Second},
		{Name: "team", Match: match(Condition{PodLabels: []Named{{"team", p("b")}}}), Deadline: time.Second},
		{Name: "version", Match: match(Condition{Version: p("2.*")}), Access: AccessDeny},
		{Name: "cookie", Match: match(Condition{Header: []Named{{"user", p("~.*7")}}}), Access: AccessDeny},
		{Name: "but", Match: match(Condition{}, Condition{Method: p("ping")}, Condition{Method: p("get*"), Caller: p("web")}), Access: AccessDeny},
		{Name: "fast", Match: match(Condition{Method: p("get")}), Deadline: time.Second, Retry: &Retry{}},
		{Name: "all", Deadline: time.Minute, Limit: &Limit{Rate: 1, Burst: 1}},
	}, nil)
	src := &Source{Key: "pod-a", PodLabels: map[string]string{"team": "a"}}
	call := &Call{Caller: []byte("web"), Version: []byte("1.0"), Header: header{"user": "18"}}
	want := []string{
		`other: service is "demo.Echo"; it must be shop.* or till`,
		`lists: method is "get"; it must be list*`,
		`team: pod_labels.team is "a"; it must be b`,
		`version: version is "1.0"; it must be 2.*`,
		`cookie: header.user is "18"; it must be ~.*7`,
		`but: not excluded by not: method get*, caller web`,
		`fast: matches [deadline retry] []`,
		`all: matches [limit] [deadline]`,
	}
	var got []string
	for _, j := range rules.Explain("demo.Echo", "get", src, call) {
		if j.Matches {
			got = append(got, fmt.Sprint(j.Rule, ": matches ", j.Decides, " ", j.Passed))
			continue
		}
		got = append(got, j.Rule+": "+j.Key+" "+j.Why)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%q\nwant:\n%q", got, want)
	}
	none := rules.Explain("demo.Echo", "get", src, &Call{})
	if j := none[3]; j.Why != "is not there; it must be 2.*" {
		t.Errorf("%+v", j)
	}
	if list := (*Rules)(nil).Explain("a", "b", src, call); list == nil || len(list) != 0 {
		t.Errorf("%v", list)
	}
}

// TestExplainAgrees: what is explained is what calls get, for random rules and calls.
func TestExplainAgrees(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	some := func() Patterns {
		return [...]Patterns{nil, patterns(t, "a"), patterns(t, "b*"), patterns(t, "~a|b")}[rnd.IntN(4)]
	}
	word := func() string { return [...]string{"a", "b", "bc", ""}[rnd.IntN(4)] }
	for range 2000 {
		var list []Rule
		for i := range 1 + rnd.IntN(6) {
			r := Rule{Name: fmt.Sprint("r", i), Match: Match{Condition: Condition{Service: some(), Method: some(), Caller: some(), Workload: some()}}}
			if rnd.IntN(2) == 0 {
				r.Match.Not = []Condition{{Method: patterns(t, "b"), Caller: some()}}
			}
			if rnd.IntN(2) == 0 {
				r.Deadline = time.Second
			}
			if rnd.IntN(2) == 0 {
				r.Access = AccessDeny
			}
			if rnd.IntN(2) == 0 {
				r.Limit = &Limit{Rate: 1}
			}
			list = append(list, r)
		}
		rules := New(list, nil)
		service, method, src, call := word(), word(), &Source{Workload: word()}, &Call{Caller: []byte(word())}
		d := rules.Resolve(service, method, src, Uncounted).For(call)
		var by [NumActions]string
		limits := 0
		for _, j := range rules.Explain(service, method, src, call) {
			for _, a := range j.Decides {
				at := slices.Index(actionWords[:], a)
				if by[at] == "" {
					by[at] = j.Rule
				}
				if Action(at) == ActLimit {
					limits++
				}
			}
		}
		if by != d.Policy.By || limits != len(d.Policy.Limits) {
			t.Fatalf("explained %q and %d limits, in force are %q and %d", by, limits, d.Policy.By, len(d.Policy.Limits))
		}
	}
}
