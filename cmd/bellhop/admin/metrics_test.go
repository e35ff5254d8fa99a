package admin

import (
	"os"
	"regexp"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/bellhop-mesh/bellhop/proxy"
)

// TestLabelledDocumented: counters with one label show up once something was counted, so no scrape of a fresh process
// can be compared with the page.
func TestLabelledDocumented(t *testing.T) {
	b, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `bellhop_([a-z_]+)_total` \\| (reason|code|framing|class|measure) \\|").FindAllStringSubmatch(string(b), -1) {
		documented[m[1]] = m[2]
	}
	for name, label := range labelOf {
		if documented[name] != label {
			t.Errorf("bellhop_%s_total: label %s is documented as %q", name, label, documented[name])
		}
	}
	for name := range documented {
		if labelOf[name] == "" {
			t.Errorf("bellhop_%s_total is documented and does not exist", name)
		}
	}
}

// TestHistogram: every bound of a metric is a bound of the data plane's buckets, so that no count is guessed.
func TestHistogram(t *testing.T) {
	var h proxy.Histogram
	for i := range h.Buckets {
		h.Buckets[i] = 1
		h.Count++
		h.Sum += proxy.Bound(i)
	}
	out := make(chan prometheus.Metric, 1)
	emitter{out}.histogram("test", "a test", &h, firstDuration, lastDuration, durationStep, 1, []string{"l"}, "v")
	var m dto.Metric
	if err := (<-out).Write(&m); err != nil {
		t.Fatal(err)
	}
	got := m.GetHistogram()
	if got.GetSampleCount() != h.Count || len(got.GetBucket()) != lastDuration-firstDuration+1 {
		t.Fatalf("%d counts in %d buckets", got.GetSampleCount(), len(got.GetBucket()))
	}
	for _, b := range got.GetBucket() {
		var want uint64
		exact := false
		for i := range h.Buckets {
			if proxy.Bound(i) < uint64(b.GetUpperBound()) {
				want++
			}
			exact = exact || proxy.Bound(i)+1 == uint64(b.GetUpperBound())
		}
		if b.GetCumulativeCount() != want || !exact {
			t.Errorf("≤ %g: %d counts, want %d; a bound of the data plane: %t", b.GetUpperBound(), b.GetCumulativeCount(), want, exact)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{"sayHello": "sayHello", "größe": "größe", "a\xffb": "invalid", "a\nb": "invalid", "": ""} {
		if got := printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
