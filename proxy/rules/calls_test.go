package rules

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

func goodCalls(t *testing.T) *govern.Rules {
	t.Helper()
	data, err := os.ReadFile("testdata/calls.good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return parsed(t, string(data)).Govern()
}

// TestActions: what is written comes out, and what is left open has its default.
func TestActions(t *testing.T) {
	r := goodCalls(t)
	if r.Len() != 4 || r.Sources() != 2 {
		t.Fatalf("%d rules, %d sources", r.Len(), r.Sources())
	}
	all := r.Rule(0)
	if all.Name != "everything" || all.Deadline != 200*time.Millisecond || all.Access != govern.AccessAllow || all.Remote == nil || *all.Remote {
		t.Errorf("%+v", all)
	}
	is := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	every := govern.Of(govern.ClassLost, govern.ClassRaced, govern.ClassDeadline, govern.ClassBusy, govern.ClassFailed)
	is("retry", *all.Retry, govern.Retry{On: every, Attempts: 5, MaxBackoff: time.Minute, PerTry: 100 * time.Millisecond, Idempotent: true})
	is("breaker", *all.Breaker, govern.Breaker{
		Window: time.Second, MinCalls: 1, ErrorRate: 0.005, Slow: time.Millisecond, SlowRate: 1, OpenFor: 100 * time.Millisecond,
		MaxOpen: 24 * time.Hour, Probes: 100, MaxShare: 0.995,
	})
	z := govern.Part{Weight: 1_000_000, Version: "v2", Labels: map[string]string{"a": "b"}, Zone: "z", Strict: true, Key: all.Split.Parts[1].Key}
	is("split", *all.Split, govern.Split{Sticky: "user", Total: 1_000_000, Parts: []govern.Part{{Version: "v1", Key: all.Split.Parts[0].Key}, z}})
	if k := all.Split.Parts; k[0].Key == "" || k[0].Key == k[1].Key {
		t.Errorf("keys of parts: %+v", k)
	}
	l := all.Limit
	if l.Rule != "everything" || l.Rate != 100./60 || l.Burst != 20 || l.Concurrency != 10 || l.Excess != govern.Queue || l.QueueFor != time.Minute || l.QueueMost != 10_000 {
		t.Errorf("%+v", l)
	}
	is("by", l.By, []govern.By{govern.BySource, govern.ByWorkload, govern.ByCaller, govern.ByService, govern.ByMethod})

	is("subset", *r.Rule(1).Split, govern.Split{Total: 1, Parts: []govern.Part{{Weight: 1, Zone: "z", Key: r.Rule(1).Split.Parts[0].Key}}})
	d := r.Rule(2)
	is("default retry", *d.Retry, govern.Retry{On: govern.Of(govern.ClassLost, govern.ClassRaced), Attempts: 1, Backoff: time.Second, MaxBackoff: time.Second})
	is("default breaker", *d.Breaker, govern.Breaker{Window: 10 * time.Second, MinCalls: 20, ErrorRate: 0.5, OpenFor: 5 * time.Second, MaxOpen: 5 * time.Minute, Probes: 3, MaxShare: 0.5})
	if l = d.Limit; l.Rate != 7 || l.Burst != 7 || l.By != nil || l.Excess != govern.Reject || l.QueueFor != 50*time.Millisecond || l.QueueMost != 100 {
		t.Errorf("%+v", l)
	}
	d = r.Rule(3)
	is("never again", d.Retry.Attempts, 0)
	if b := d.Breaker; b.Scope != govern.PerMethod || b.ErrorRate != 0 || b.SlowRate != 0.5 || b.MaxOpen != 10*time.Minute {
		t.Errorf("%+v", b)
	}
	if l = d.Limit; l.Excess != govern.Overflow || l.Rate != 0 {
		t.Errorf("%+v", l)
	}
	if none := parsed(t, "version: 1\n").Govern(); none == nil || none.Len() != 0 {
		t.Error("a document without rules has others")
	}
}

// TestMatchIsRead: the keys of match demand what they are called after.
func TestMatchIsRead(t *testing.T) {
	r := goodCalls(t)
	src := func() *govern.Source {
		return &govern.Source{Key: "uid:0", Namespace: "shop", Workload: "shop/cart", Unit: "cart.service", PodLabels: map[string]string{"team": "b", "track": "x"}}
	}
	header := keys{"x-user": "27", "cookie": "c"}
	call := func() *govern.Call {
		return &govern.Call{Version: []byte("2.1"), Caller: []byte("shop"), Header: header}
	}
	matches := func(method string, s *govern.Source, c *govern.Call) bool {
		return r.Resolve("demo.Greeter", method, s, nil).For(c).Policy.By[govern.ActDeadline] == "everything"
	}
	if !matches("getAll", src(), call()) {
		t.Fatal("what meets all is not meant")
	}
	for what, change := range map[string]func(*govern.Source, *govern.Call){
		"source":     func(s *govern.Source, _ *govern.Call) { s.Key = "uid:1" },
		"namespace":  func(s *govern.Source, _ *govern.Call) { s.Namespace = "" },
		"workload":   func(s *govern.Source, _ *govern.Call) { s.Workload = "bank/till" },
		"unit":       func(s *govern.Source, _ *govern.Call) { s.Unit = "" },
		"label":      func(s *govern.Source, _ *govern.Call) { s.PodLabels["team"] = "c" },
		"no label":   func(s *govern.Source, _ *govern.Call) { delete(s.PodLabels, "track") },
		"version":    func(_ *govern.Source, c *govern.Call) { c.Version = []byte("1.0") },
		"caller":     func(_ *govern.Source, c *govern.Call) { c.Caller = nil },
		"header":     func(_ *govern.Source, c *govern.Call) { c.Header = keys{"x-user": "26", "cookie": "c"} },
		"no header":  func(_ *govern.Source, c *govern.Call) { c.Header = nil },
		"first not":  func(_ *govern.Source, c *govern.Call) { c.Header = keys{"x-user": "17", "cookie": "c"} },
		"second not": func(s *govern.Source, _ *govern.Call) { s.PodLabels["team"] = "a" },
	} {
		s, c := src(), call()
		if change(s, c); matches("getAll", s, c) {
			t.Errorf("%s is not looked at", what)
		}
	}
	if matches("get", src(), call()) || r.Resolve("demo.Other", "getAll", src(), nil).For(call()).Policy.By[govern.ActDeadline] != "" {
		t.Error("method or service are not looked at")
	}
}

func TestBoundsOfCalls(t *testing.T) {
	many := func(n int, item string) string { return strings.Repeat(item, n) }
	var rules, sources strings.Builder
	for i := range govern.MaxRules + 1 {
		fmt.Fprintf(&rules, "  - {name: r%d, deadline: 1s}\n", i)
	}
	for range maxSources + 1 {
		sources.WriteString("  - {weight: 1}\n")
	}
	var labels strings.Builder
	for i := range maxValues + 1 {
		fmt.Fprintf(&labels, "k%d: v, ", i)
	}
	for want, doc := range map[string]string{
		"x:1003: rules[1000]: is beyond the bound of 1000 rules":                              "rules:\n" + rules.String(),
		"x:1003: sources[1000]: is beyond the bound of 1000 sources":                          "sources:\n" + sources.String(),
		"x:2: rules[0].match.method[64]: is beyond the bound of 64 values":                    "rules: [{name: a, deadline: 1s, match: {method: [" + many(maxValues+1, "m, ") + "]}}]\n",
		"x:2: rules[0].match.pod_labels.k64: is beyond the bound of 64 labels":                "rules: [{name: a, deadline: 1s, match: {pod_labels: {" + labels.String() + "}}}]\n",
		"x:2: rules[0].match.not[16]: is beyond the bound of 16 exclusions":                   "rules: [{name: a, deadline: 1s, match: {not: [" + many(maxNot+1, "{method: m}, ") + "]}}]\n",
		"x:2: rules[0].split.parts[64]: is beyond the bound of 64 parts":                      "rules: [{name: a, split: {parts: [" + many(maxParts+1, "{version: v, weight: 1}, ") + "]}}]\n",
		"x:2: rules[0].match.method: is a regular expression of 257 bytes; write at most 256": "rules: [{name: a, deadline: 1s, match: {method: \"~" + many(govern.MaxRegex+1, "m") + "\"}}]\n",
	} {
		if _, err := Parse("x", []byte("version: 1\n"+doc)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in %v", want, err)
		}
	}
}
