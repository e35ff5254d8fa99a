package targets

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOf(t *testing.T) {
	in := []float64{3, 1, 2, 10}
	if s := Of(in); s != (Span{1, 2.5, 10}) || in[0] != 3 {
		t.Errorf("%v of %v", s, in)
	}
	if s := Of(nil); s != (Span{}) {
		t.Errorf("%v of nothing", s)
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		key      string
		values   []float64
		met      bool
		measured string
		aim      string
	}{
		{"tcp64", []float64{0.5, 0.554, 0.9}, true, "0.55", "≤ 0.55"},    // the median counts, as it is printed
		{"tcp64", []float64{0.5, 0.556, 0.556}, false, "0.56", "≤ 0.55"}, // and rounds up
		{"percall-tcp", []float64{0.99, 1, 1.2}, true, "1.00", "≥ 1.00"},
		{"percall-tcp", []float64{0.9, 0.98, 1.2}, false, "0.98", "≥ 1.00"},
		{"round-gap", []float64{0.001, 0.0049}, true, "4.90 ms", "≤ 5.00 ms"},
		{"round-gap", []float64{0.001, 0.001, 0.0062}, false, "6.20 ms", "≤ 5.00 ms"}, // the worst counts
		{"anon", []float64{39.96e6}, true, "40.0 MB", "≤ 40.0 MB"},
		{"conn-tcp", []float64{3073}, false, "3073 bytes", "≤ 3072 bytes"},
		{"idle-cpu", []float64{0.0019}, true, "0.190 %", "≤ 0.200 %"},
	} {
		v, err := Judge(c.key, c.values)
		if err != nil || v.Met != c.met || v.Measured() != c.measured || v.Aim() != c.aim {
			t.Errorf("%s of %v: met %v, %s, %s, %v", c.key, c.values, v.Met, v.Measured(), v.Aim(), err)
		}
	}
	if _, err := Judge("tcp65", []float64{1}); err == nil || !strings.Contains(err.Error(), `"tcp65"`) {
		t.Errorf("got %v", err)
	}
	if _, err := Judge("tcp64", nil); err == nil {
		t.Error("no value was judged")
	}
}

func TestCatalogue(t *testing.T) {
	seen := map[string]bool{}
	for _, x := range Catalogue() {
		if seen[x.Key] || x.Key == "" || x.Figure == "" || x.Command == "" || x.Bound <= 0 {
			t.Errorf("%+v: twice, or incomplete", x)
		}
		seen[x.Key] = true
	}
}

// TestSave: what several tools have measured ends on one page, and the youngest run of a figure counts.
func TestSave(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "README.md")
	if err := os.WriteFile(page, []byte("before\n<!-- targets:begin (by make) -->\nold\n<!-- targets:end -->\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(day int) time.Time { return time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC) }
	for name, f := range map[string]File{
		"quick": {Begun: at(2), Machine: "M", Bellhop: "v2", Values: map[string][]float64{"tcp64": {0.4, 0.5, 0.6}, "allocs": {0.02}}},
		"grid":  {Begun: at(1), Machine: "M", Bellhop: "v1", Values: map[string][]float64{"tcp64": {0.7}}, Absent: map[string]string{"envoy-mux": "no Envoy"}},
	} {
		if err := Save(dir, name, f); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(page)
	text := string(b)
	if err != nil || !strings.HasPrefix(text, "before\n<!-- targets:begin (by make) -->\n|") || !strings.HasSuffix(text, "Machine: M.\n<!-- targets:end -->\nafter\n") {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, want := range []string{
		"| ≤ 0.55 | 0.50 | 0.40–0.60 | 3 | met | `make bench-quick` | 2026-01-02 00:00, v2 |",
		"| ≤ 0.0100 | 0.0200 | 0.0200–0.0200 | 1 | missed |",
		"| ≤ 0.25 | not measured: no Envoy | – | – | – | `make bench` | 2026-01-01 00:00, v1 |",
		"| ≤ 1.25 | not measured | – |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if err := Save(dir, "x", File{Values: map[string][]float64{"nonsense": {1}}}); err == nil {
		t.Error("a figure that nobody knows was saved")
	}
	if _, err := Between("no marks", "targets", "x"); err == nil {
		t.Error("a page without marks was taken")
	}
}
