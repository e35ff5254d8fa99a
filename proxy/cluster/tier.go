package cluster

import "sort"

// tier is endpoints that are equally near, with what makes a choice by weight cost the same however many they are.
// Immutable.
//
//	all    e0  e1    e2
//	upTo   100 300   350        a number in [0, 350) names an endpoint; nil when all weights are the same
type tier struct {
	all    []*Endpoint
	upTo   []int
	stride uint64 // has no divisor in common with the number of places
}

func newTier(all []*Endpoint) tier {
	t := tier{all: all}
	for _, e := range all {
		if e.Weight != all[0].Weight {
			t.weigh()
			break
		}
	}
	return t
}

func (t *tier) weigh() {
	t.upTo = make([]int, len(t.all))
	sum := 0
	for i, e := range t.all {
		sum += e.Weight
		t.upTo[i] = sum
	}
	// The golden section spreads the turns of a heavy endpoint as evenly as they can be.
	t.stride = uint64(float64(sum) * 0.6180339887498949)
	for t.stride < 1 || divisor(t.stride, uint64(sum)) > 1 {
		t.stride++
	}
}

func divisor(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// at is the endpoint at a place below places.
func (t *tier) at(place int) *Endpoint {
	if t.upTo == nil {
		return t.all[place]
	}
	return t.all[sort.Search(len(t.upTo), func(i int) bool { return t.upTo[i] > place })]
}

func (t *tier) places() int {
	if t.upTo == nil {
		return len(t.all)
	}
	return t.upTo[len(t.upTo)-1]
}

// turn is the endpoint of a turn. In as many turns as there are places each endpoint has its weight of them exactly, or
// one turn each where all weights are the same.
func (t *tier) turn(n uint32) *Endpoint {
	if t.upTo == nil {
		return t.all[int(n%uint32(len(t.all)))]
	}
	return t.at(int(uint64(n) * t.stride % uint64(t.places())))
}

// random draws one of the usable endpoints by weight, but for one; nil when there is none.
func (t *tier) random(q *query, but *Endpoint) (*Endpoint, verdict) {
	for range maxDraws {
		e := t.at(q.rnd.IntN(t.places()))
		if e == but {
			continue
		}
		if e.plain(q) {
			return e, yes
		}
		if v := e.look(q); v != no {
			return e, v
		}
	}
	return t.counted(q, q.rnd.Uint64(), but), yes
}

// counted counts the usable endpoints and takes the one that the number falls to, by weight.
func (t *tier) counted(q *query, number uint64, but *Endpoint) *Endpoint {
	total := 0
	for _, e := range t.all {
		if e != but {
			total += e.weightNow(q)
		}
	}
	if total == 0 {
		return nil
	}
	at := int(number % uint64(total))
	for _, e := range t.all {
		if e == but {
			continue
		}
		if at -= e.weightNow(q); at < 0 {
			return e
		}
	}
	return nil
}
