package proxy

import (
	"testing"
	"time"
)

// TestDelays: buckets join without a gap, none is wider than a sixteenth of what it holds, and quantiles are as exact.
func TestDelays(t *testing.T) {
	for i := 1; i < numDelays-1; i++ {
		from, to := delayBound(i-1), delayBound(i)
		if to <= from || i >= 16 && float64(to-from) > float64(to)/16 {
			t.Fatalf("bucket %d is from %d to %d ns", i, from, to)
		}
		if a, b := delayBucket(uint64(from)>>delayUnit), delayBucket(uint64(to-1)>>delayUnit); a != i || b != i {
			t.Fatalf("%d…%d ns are in buckets %d and %d, want %d", from, to-1, a, b, i)
		}
	}
	var one, two delays
	for i := range 500 {
		one.add(int64(2*i+1) * 1000)
		two.add(int64(2*i+2) * 1000)
	}
	s := sumDelays([]*delays{&one, &two})
	near := func(got, want time.Duration) bool { return got > want*93/100 && got < want*107/100 }
	if s.Samples != 1000 || s.Max != time.Millisecond || !near(s.P50, 500*time.Microsecond) || !near(s.P99, 990*time.Microsecond) || !near(s.Mean, 500*time.Microsecond) {
		t.Errorf("of 1 µs to 1 ms: %+v", s)
	}
	n := int64(0)
	for _, b := range s.Buckets {
		n += b[1]
	}
	if n != 1000 {
		t.Errorf("the buckets hold %d", n)
	}
	one.add(int64(time.Hour))
	one.add(-5)
	if s := sumDelays([]*delays{&one}); s.Samples != 502 || s.Max != time.Hour {
		t.Errorf("with the longest and the shortest: %d samples, %s", s.Samples, s.Max)
	}
}
