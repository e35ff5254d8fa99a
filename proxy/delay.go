package proxy

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// delays is a histogram of times with 16 buckets an octave, so that quantiles can be compared within 7 %. One writer; anybody
// may read. About 1.5 kB.
type delays struct {
	buckets [numDelays]atomic.Uint32
	sum     atomic.Uint64 // ns
	most    atomic.Int64  // ns
}

const (
	numDelays = 352 // up to 8 s
	delayUnit = 8   // bits: a bucket is at least 256 ns wide
)

func (d *delays) add(ns int64) {
	ns = max(ns, 0)
	d.buckets[delayBucket(uint64(ns)>>delayUnit)].Add(1)
	d.sum.Add(uint64(ns))
	if ns > d.most.Load() {
		d.most.Store(ns)
	}
}

func delayBucket(v uint64) int {
	if v < 16 {
		return int(v)
	}
	e := bits.Len64(v) - 5 // v>>e is 16…31
	return min(e*16+int(v>>e&15)+16, numDelays-1)
}

// delayBound is the upper bound of bucket i, in ns.
func delayBound(i int) int64 {
	if i < 16 {
		return int64(i+1) << delayUnit
	}
	e := i/16 - 1
	return int64(i%16+17) << e << delayUnit
}

// DelayStats tell how long a source's calls have waited in this proxy before they were taken up: from the read that brought
// them. They are samples, one in 8.
type DelayStats struct {
	Samples uint64        `json:"samples"`
	Mean    time.Duration `json:"mean_ns"`
	P50     time.Duration `json:"p50_ns"`
	P99     time.Duration `json:"p99_ns"`
	Max     time.Duration `json:"max_ns"`
	// Buckets are those that have samples, shortest first: the longest time in it, in ns, and how many. They only grow, so the
	// difference of two readings is what was between.
	Buckets [][2]int64 `json:"buckets,omitempty"`
}

// sumDelays makes one of what several workers have counted.
func sumDelays(all []*delays) (s DelayStats) {
	var buckets [numDelays]uint64
	var sum uint64
	for _, d := range all {
		for i := range d.buckets {
			n := uint64(d.buckets[i].Load())
			buckets[i] += n
			s.Samples += n
		}
		sum += d.sum.Load()
		s.Max = max(s.Max, time.Duration(d.most.Load()))
	}
	if s.Samples == 0 {
		return s
	}
	for i, n := range buckets {
		if n > 0 {
			s.Buckets = append(s.Buckets, [2]int64{delayBound(i), int64(n)})
		}
	}
	s.Mean = time.Duration(sum / s.Samples)
	s.P50, s.P99 = quantileOf(&buckets, s.Samples, 0.5), quantileOf(&buckets, s.Samples, 0.99)
	return s
}

// quantileOf interpolates within the bucket.
func quantileOf(buckets *[numDelays]uint64, count uint64, q float64) time.Duration {
	rank, seen, from := q*float64(count), 0.0, int64(0)
	for i, n := range buckets {
		to := delayBound(i)
		if seen+float64(n) >= rank && n > 0 {
			return time.Duration(from) + time.Duration((rank-seen)/float64(n)*float64(to-from))
		}
		seen += float64(n)
		from = to
	}
	return time.Duration(from)
}
