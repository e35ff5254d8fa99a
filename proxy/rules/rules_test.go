package rules

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the .want files from what is read now; then review them")

// TestGolden: good documents are taken; of the bad ones NAME.want has every problem, in order.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 8 {
		t.Fatalf("found %d golden files, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Parse(filepath.Base(f), data)
			if strings.HasSuffix(f, ".good.yaml") {
				if err != nil || len(r.Digest) != 16 {
					t.Fatalf("is good, and was refused:\n%v", err)
				}
				return
			}
			var ps Problems
			if !errors.As(err, &ps) {
				t.Fatalf("is bad, and the error is %T %v", err, err)
			}
			want := strings.TrimSuffix(f, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(want, []byte(err.Error()+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			b, rerr := os.ReadFile(want)
			if rerr != nil {
				t.Fatal(rerr)
			}
			if got := err.Error() + "\n"; got != string(b) {
				t.Errorf("got:\n%s\nwant:\n%s", got, b)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	var services, weights, zones strings.Builder
	services.WriteString("version: 1\nservices:\n")
	for i := range maxServices + 1 {
		fmt.Fprintf(&services, "  s%d: {}\n", i)
	}
	weights.WriteString("version: 1\nservices:\n  s:\n    weights:\n")
	for range maxWeights + 1 {
		weights.WriteString("    - {match: {zone: a}, weight: 1}\n")
	}
	zones.WriteString("version: 1\nzones:\n")
	for i := range maxZones + 1 {
		fmt.Fprintf(&zones, "- {host: h%d, zone: a}\n", i)
	}
	for want, doc := range map[string]string{
		fmt.Sprintf("x:%d: services.s%d: is beyond the bound of 10000 services", maxServices+3, maxServices): services.String(),
		"x:1005: services.s.weights[1000]: is beyond the bound of 1000 weights":                              weights.String(),
		"x:10003: zones[10000]: is beyond the bound of 10000 zones":                                          zones.String(),
		"x: has more than 900000 bytes":                                                                      "version: 1\n#" + strings.Repeat("x", registry.MaxDocument),
		"the bound is 300000":                                                                                "version: 1\nzones: " + strings.Repeat("[", maxItems),
	} {
		if _, err := Parse("x", []byte(doc)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in %v", want, err)
		}
	}
	full := "version: 1\n#" + strings.Repeat("x", registry.MaxDocument-12)
	if _, err := Parse("x", []byte(full)); err != nil || len(full) != registry.MaxDocument {
		t.Errorf("%d bytes: %v", len(full), err)
	}
}

// FuzzRules: whatever the bytes, there are rules that can be applied, or a problem that says something.
func FuzzRules(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	snap := snapshot()
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse("f.yaml", data)
		if err != nil {
			var ps Problems
			if !errors.As(err, &ps) || len(ps) == 0 || ps[0].Text == "" {
				t.Fatalf("the error is %T %v", err, err)
			}
			return
		}
		g := r.Govern()
		d := g.Resolve("demo.Greeter", "hello", &govern.Source{Key: "k", Namespace: "shop"}, nil).For(&govern.Call{Header: keys{"x-user": "17"}})
		if len(d.Policy.Limits) > g.Len() || d.Policy.Split != nil && d.Policy.Split.Total < 1 {
			t.Fatalf("%d rules decide %+v", g.Len(), d.Policy)
		}
		out := NewApplier(nil, nil).Apply(snap, r)
		if len(out.Services) != len(snap.Services) {
			t.Fatalf("%d services became %d", len(snap.Services), len(out.Services))
		}
		for name, s := range out.Services {
			if len(s.Endpoints) == 0 {
				t.Fatalf("%s has lost its endpoints", name)
			}
			for _, e := range s.Endpoints {
				if e.Weight < 1 || e.Weight > 1000 {
					t.Fatalf("%s: %s has the weight %d", name, e.Addr, e.Weight)
				}
			}
		}
	})
}

// TestDocumented: every example of docs/rules.md is a document that is taken, and the page names every key.
func TestDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page, -1)
	if len(examples) < 4 {
		t.Fatalf("%d examples", len(examples))
	}
	for i, e := range examples {
		r, err := Parse(fmt.Sprintf("example %d", i+1), []byte(e[1]))
		if err != nil {
			t.Error(err)
			continue
		}
		changes := !equalServices(NewApplier(nil, nil).Apply(snapshot(), r), snapshot())
		if n := asDocumented(t, i+1, r, e[1]); n == 0 && (!changes || r.Govern().Len() > 0) {
			t.Errorf("example %d changes nothing of the services that the tests have, or has rules and no call:\n%s", i+1, e[1])
		}
	}
	for _, key := range []string{
		"version", "defaults", "services", "zones", "timeout", "balancer", "max_connections", "max_pending", "depth", "framing", "mode", "oneway", "idempotent", "prefer_zone", "weights", "slow_start", "panic", "zone_spill", "ejection", "errors", "base", "max", "hosts", "drain", "match", "weight", "addr", "labels", "zone", "cidr", "host", "rules", "sources", "name", "deadline", "retry", "limit", "breaker", "access", "split", "subset", "remote",
		"method", "caller", "source", "namespace", "workload", "unit", "pod_labels", "header", "not", "on", "attempts", "backoff", "max_backoff", "per_try",
		"rate", "per", "burst", "concurrency", "by", "over", "queue_for", "queue_most", "scope", "window", "min_calls", "error_share", "slow", "slow_share",
		"open_for", "max_open", "probes", "max_share", "parts", "sticky", "strict", "workload_weight", "privileged",
	} {
		if !strings.Contains(page, "| `"+key+"` |") && !strings.Contains(page, "."+key+"` |") {
			t.Errorf("docs/rules.md has no row for %s", key)
		}
	}
}
