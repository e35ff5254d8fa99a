package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// TestRegistry: as many endpoints as are said, no address twice, and no address of one generation in the next.
func TestRegistry(t *testing.T) {
	s := step{"x", 2000, 20000, 0, 1}
	seen := map[string]bool{}
	for generation := range 2 {
		text := s.registry("9", generation)
		if n := strings.Count(text, "framing:"); n != 2000 {
			t.Fatalf("%d services", n)
		}
		for i, part := range strings.Split(text, `"`) {
			if i%2 == 1 {
				if seen[part] || !strings.HasPrefix(part, "127.") {
					t.Fatalf("%s: twice, or not loopback", part)
				}
				seen[part] = true
			}
		}
	}
	if len(seen) != 40000 {
		t.Errorf("%d addresses", len(seen))
	}
}

func made() outcome {
	all := outcome{Rounds: 2, Bellhop: "v1", Machine: "M", Failed: map[string]string{"sources": "needs root"}}
	for round, slow := range []float64{1, 2} {
		all.Samples = append(all.Samples,
			sample{Axis: "node", Step: "small", Round: round + 1, ProxyUS: 10 * slow},
			sample{Axis: "node", Step: "large", Round: round + 1, ProxyUS: 12 * slow})
	}
	q := func(p999 int64) prove.Phase {
		return prove.Phase{Seconds: 1, Calls: 9, Latency: prove.Quantiles{P999: p999}}
	}
	all.Swap = &swapped{Rate: 5000, Phases: []prove.Phase{q(1), q(77), q(3)}, Gaps: []float64{0.0042}}
	return all
}

func TestKeep(t *testing.T) {
	dir := t.TempDir()
	text := "<!-- targets:begin -->\n<!-- targets:end -->\n<!-- growth:begin -->\n<!-- growth:end -->\n"
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := keep(dir, made()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| large | 2000 | 20000 | 10000 | 1 | 18.00 | 12.00–24.00 | 1.20 | 1.20–1.20 |", "| swap 1 | 1.0 | 9 | 0 | 0 | 77 | 0 | 4.20 |",
		"Not measured: sources: needs root", "| ≤ 1.25 | 1.20 | 1.20–1.20 | 2 | met |", "| ≤ 5.00 ms | 4.20 ms |",
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %q in\n%s", want, b)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "growth-node.svg")); err != nil {
		t.Error(err)
	}
}

// TestJudged: what was not measured says so.
func TestJudged(t *testing.T) {
	all := made()
	all.Samples, all.Swap.Gaps = nil, nil
	f := judged(all)
	if len(f.Values) != 0 || !strings.Contains(f.Absent["round-gap"], gapMetric) || f.Absent["growth"] == "" {
		t.Errorf("%+v", f)
	}
	if v := ratios(made().Samples, "node", "large", "small"); !slices.Equal(v, []float64{1.2, 1.2}) {
		t.Errorf("%v", v)
	}
}
