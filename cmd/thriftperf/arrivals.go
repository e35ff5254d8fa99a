package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// arrivals are the moments at which the calls of an open loop begin, whatever became of those before.
//
//	constant   0, 1/rate, 2/rate, …
//	poisson    exponential gaps with the mean 1/rate: what many callers that know nothing of each other make. The sum of
//	           several is again one of that kind, so how a load is spread over sources does not change how bursty it is
//	grain      poisson, gathered: what falls between two moments of a grid begins at the second. The load wakes up for
//	           many calls instead of each, and latency counts from the grid
type arrivals struct {
	rate  float64
	rnd   *rand.Rand // nil: constant
	pick  *rand.Rand // chooses the connection; another one, so that the moments don't depend on what the replies do
	n     int64
	next  time.Duration // since the begin of the load
	drawn time.Duration // next before it was gathered
	grain time.Duration // 0: none
	phase time.Duration // of the grid
}

func newArrivals(word string, rate float64, seed uint64, grain time.Duration) (arrivals, error) {
	a := arrivals{rate: rate, grain: grain}
	switch word {
	case "", "constant":
	case "poisson":
		a.rnd, a.pick = rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), rand.New(rand.NewPCG(seed, 1))
		a.phase = time.Duration(a.pick.Float64() * float64(grain))
	default:
		return a, fmt.Errorf("--arrivals %q: must be constant or poisson", word)
	}
	return a, nil
}

// advance goes on to the next call.
func (a *arrivals) advance() {
	a.n++
	if a.rnd == nil {
		a.next = time.Duration(float64(a.n) / a.rate * float64(time.Second))
		return
	}
	a.drawn += time.Duration(a.rnd.ExpFloat64() / a.rate * float64(time.Second))
	a.next = a.drawn
	if a.grain > 0 {
		a.next = (a.drawn-a.phase+a.grain-1)/a.grain*a.grain + a.phase
	}
}

// missed is how many calls were due until a moment and have not begun; it spends them.
func (a *arrivals) missed(until time.Duration) (n int64) {
	for ; a.next < until; n++ {
		a.advance()
	}
	return n
}
