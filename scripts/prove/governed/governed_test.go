package governed

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

func TestSpan(t *testing.T) {
	in := []float64{3, 1, 2, 10}
	if s := SpanOf(in); s != (Span{1, 2.5, 10}) || in[0] != 3 || s.String() != "2.50 (1.00–10.00)" {
		t.Errorf("%v of %v", s, in)
	}
	if s := SpanOf(nil); s.Mid <= 1 || s.Mid >= 1 { // NaN meets no target, in either direction
		t.Errorf("%v of nothing", s)
	}
}

func TestJain(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want float64
	}{{[]float64{5, 5, 5, 5}, 1}, {[]float64{8, 0, 0, 0}, 0.25}, {[]float64{1, 2, 3}, 36.0 / 42}} {
		if got := Jain(c.x); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v: %v, want %v", c.x, got, c.want)
		}
	}
}

// histogram of values in microseconds.
func histogram(values ...int64) *hdrhistogram.Histogram {
	h := hdrhistogram.New(1, 600e6, 3)
	for _, v := range values {
		_ = h.RecordValue(v)
	}
	return h
}

// TestRefused: a call that got no answer is no quick refusal.
func TestRefused(t *testing.T) {
	quick := histogram()
	for range 999 {
		_ = quick.RecordValue(100)
	}
	answered := Result{Failed: map[string]int64{"not_executed": 999}, failed: quick}
	if got := Refused([]Result{answered}, 99); got != 100 {
		t.Errorf("all answered: %v", got)
	}
	few := answered
	few.Failed = map[string]int64{"not_executed": 999, "timeout": 5}
	if got := Refused([]Result{few}, 99); got != 100 {
		t.Errorf("0.5 %% without an answer: %v", got)
	}
	few.NotStarted = 50
	if got := Refused([]Result{few}, 99); !math.IsInf(got, 1) {
		t.Errorf("5 %% without an answer: %v", got)
	}
	if got := Refused([]Result{{}}, 99); got != 0 {
		t.Errorf("none: %v", got)
	}
}

// TestMerged: the quantile of several sources is that of all their calls, not the mean of theirs.
func TestMerged(t *testing.T) {
	fast, slow := Result{hist: histogram(1, 1, 1, 1, 1, 1, 1, 1, 1)}, Result{hist: histogram(1000)}
	if got := Merged([]Result{fast, slow}, 50); got != 1 {
		t.Errorf("median %v", got)
	}
	if got := Merged([]Result{fast, slow}, 99); got < 1000 {
		t.Errorf("p99 %v", got)
	}
}

// TestInterleave: sides take turns in being first; invalid runs are kept and made again, at most a few times.
func TestInterleave(t *testing.T) {
	var raw []*Run
	s := &Stage{Options: Options{Pairs: 2}, Row: "x", Table: prove.NewTable("x"), raw: &raw}
	var order []string
	n := 0
	pairs, err := s.Interleave(context.Background(), "a", "b", func(_ context.Context, side string) (*Run, error) {
		order = append(order, side)
		r := &Run{Figures: map[string]float64{}}
		if n++; n == 2 {
			r.Invalid = "busy"
		}
		return r, nil
	})
	if got := strings.Join(order, ""); err != nil || got != "abbba" || len(pairs) != 2 || len(raw) != 5 || pairs[0].B.Invalid != "" {
		t.Errorf("%v: %s, %d pairs, %d runs kept", err, got, len(pairs), len(raw))
	}
	_, err = s.Interleave(context.Background(), "a", "b", func(context.Context, string) (*Run, error) { return &Run{Invalid: "always"}, nil })
	if err == nil || !strings.Contains(err.Error(), "invalid 5 times: always") {
		t.Errorf("got %v", err)
	}
}

func TestReadCore(t *testing.T) {
	before, err := readCore(0)
	if err != nil || before.total <= 0 || before.idle > before.total {
		t.Errorf("%+v, %v", before, err)
	}
	if _, err := readCore(1 << 20); err == nil {
		t.Error("a core that is not there")
	}
	if clock(1<<22) != 0 {
		t.Error("a process that is not there has used CPU")
	}
}

// TestKeep: a row that is played again takes the place of what was found before, the others stay, in the order of the proof.
func TestKeep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "governance")
	page := dir + ".md"
	if err := os.WriteFile(page, []byte("a\n<!-- prove-x:begin (by make) -->\nold\n<!-- prove-x:end -->\nb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	row := func(name, measured string) playedRow {
		return playedRow{Row: name, Table: [][4]string{{name, "1", measured, "ok"}}, Runs: []*Run{{Row: name, Figures: map[string]float64{"x": math.Inf(1)}}, {Row: name}}}
	}
	for _, now := range [][]playedRow{{row("second", "2"), row("first", "1")}, {row("second", "3")}} {
		if err := keep(dir, "prove-x", []string{"first", "second"}, now); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(page)
	if want := "| first | 1 | 1 | ok |\n| second | 1 | 3 | ok |\n"; err != nil || !strings.Contains(string(b), want) || strings.Contains(string(b), "old") {
		t.Errorf("%v: %s", err, b)
	}
	var all []playedRow
	b, err = os.ReadFile(filepath.Join(dir, "prove-x.json"))
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil || len(all) != 2 || len(all[1].Runs) != 2 || all[1].Runs[0].Figures["x"] != -1 {
		t.Errorf("%v: %s", err, b)
	}
}
