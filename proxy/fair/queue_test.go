package fair

import (
	"math/rand/v2"
	"testing"
)

// thing is what the tests queue.
type thing struct {
	item   Item[*thing]
	source int
	cost   int64
}

// team is a queue with a number of sources in workloads.
type team struct {
	q       Queue[*thing]
	work    []*Flow[*thing]
	sources []*Flow[*thing]
	used    []int64 // by source
	rnd     *rand.Rand
}

// newTeam makes sources: of[i] is the workload of source i, weights are of sources and of workloads.
func newTeam(quantum int64, of []int, weights, workWeights []int64) *team {
	t := &team{rnd: rand.New(rand.NewPCG(1, 2)), used: make([]int64, len(of))}
	t.q.Init(quantum)
	for _, w := range workWeights {
		f := &Flow[*thing]{Weight: w}
		t.q.Join(f, nil)
		t.work = append(t.work, f)
	}
	for i, w := range of {
		f := &Flow[*thing]{Weight: weights[i]}
		t.q.Join(f, t.work[w])
		t.sources = append(t.sources, f)
	}
	return t
}

func ones(n int) []int64 {
	all := make([]int64, n)
	for i := range all {
		all[i] = 1
	}
	return all
}

func (t *team) push(source int, cost int64) *thing {
	x := &thing{source: source, cost: cost}
	x.item.Value = x
	t.q.Push(t.sources[source], &x.item)
	return x
}

// serve serves the next one; nil: there is none.
func (t *team) serve() *thing {
	i := t.q.Next()
	if i == nil {
		return nil
	}
	x, f := i.Value, i.Flow()
	t.q.Remove(i)
	t.q.Charge(f, x.cost)
	t.used[x.source] += x.cost
	return x
}

// TestShares: while all have something waiting, nobody is ahead of or behind its share by more than a quantum and the
// dearest item, at any moment, in either level, whatever weights and costs are.
func TestShares(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		quantum := 1 + rnd.Int64N(100)
		nWork, n := 1+rnd.IntN(5), 1+rnd.IntN(12)
		of, weights, workWeights := make([]int, n), make([]int64, n), make([]int64, nWork)
		for i := range of {
			of[i], weights[i] = i%nWork, 1+rnd.Int64N(8)
		}
		for i := range workWeights {
			workWeights[i] = 1 + rnd.Int64N(8)
		}
		k := newTeam(quantum, of, weights, workWeights)
		most := int64(1)
		again := func(i int) {
			cost := rnd.Int64N(50) + rnd.Int64N(2)*rnd.Int64N(5000)
			most = max(most, cost)
			k.push(i, cost)
		}
		for i := range of {
			again(i)
			again(i)
		}
		for range 4000 {
			again(k.serve().source)
			k.checkShares(t, of, quantum, most)
		}
	}
}

func (t *team) checkShares(tb testing.TB, of []int, quantum, most int64) {
	work := make([]int64, len(t.work))
	have := make([]bool, len(t.work))
	for i, w := range of {
		work[w] += t.used[i]
		have[w] = true
	}
	within := func(what string, a, b int, ua, wa, ub, wb int64) {
		if d, bound := float64(ua)/float64(wa)-float64(ub)/float64(wb), float64(2*quantum)+float64(most)/float64(wa)+float64(most)/float64(wb); d > bound || -d > bound {
			tb.Fatalf("%ss %d and %d are %.0f apart for each part of their weights, bound %.0f", what, a, b, d, bound)
		}
	}
	for a := range work {
		for b := range a {
			if have[a] && have[b] {
				within("workload", a, b, work[a], t.work[a].Weight, work[b], t.work[b].Weight)
			}
		}
	}
	for a := range of {
		for b := range a {
			if of[a] == of[b] {
				within("source", a, b, t.used[a], t.sources[a].Weight, t.used[b], t.sources[b].Weight)
			}
		}
	}
}

// TestWeights: 1 : 2 : 4, and fifty sources of one workload against one of another.
func TestWeights(t *testing.T) {
	k := newTeam(10, []int{0, 1, 2}, ones(3), []int64{1, 2, 4})
	for i := range 3 {
		k.push(i, 7)
	}
	for range 70_000 {
		k.push(k.serve().source, 1+k.rnd.Int64N(40))
	}
	for i, part := range []float64{1. / 7, 2. / 7, 4. / 7} {
		if got := float64(k.used[i]) / float64(k.used[0]+k.used[1]+k.used[2]); got < part*0.999 || got > part*1.001 {
			t.Errorf("source %d got %.4f of all, want %.4f", i, got, part)
		}
	}
	of := make([]int, 51)
	of[50] = 1
	k = newTeam(10, of, ones(51), ones(2))
	for i := range of {
		k.push(i, 10)
	}
	for range 10_000 {
		k.push(k.serve().source, 10)
	}
	if got := k.used[50]; got < 49_900 || got > 50_100 {
		t.Errorf("one source against fifty of another workload got %d of 100000", got)
	}
	if a, b := k.used[0], k.used[49]; a < 990 || a > 1010 || b < 990 || b > 1010 {
		t.Errorf("of the fifty the first got %d, the last %d", a, b)
	}
}

// TestLending: what an idle one does not use is the others', and nobody owes it anything when it comes back.
func TestLending(t *testing.T) {
	k := newTeam(10, []int{0, 1, 2}, ones(3), []int64{2, 1, 1})
	serve := func(n int, active ...int) {
		k.used = make([]int64, 3)
		for _, i := range active {
			if k.sources[i].Queued() == 0 {
				k.push(i, 10)
			}
		}
		for range n {
			x := k.serve()
			for _, i := range active {
				if i == x.source {
					k.push(i, 10)
				}
			}
		}
	}
	serve(1000, 1, 2)
	if k.used[1] < 4900 || k.used[2] < 4900 {
		t.Errorf("two of three got %d and %d of 10000 while the third was idle", k.used[1], k.used[2])
	}
	serve(1000, 0, 1, 2)
	if k.used[0] < 4900 || k.used[0] > 5100 {
		t.Errorf("who came back got %d of 10000, its share is half", k.used[0])
	}
	serve(1000, 1)
	if k.used[1] < 9900 {
		t.Errorf("the only one got %d of 10000", k.used[1])
	}
}

// TestNewcomerFirst: who comes with little is served before the round of those with much is over, and coming again and
// again brings no more than a share.
func TestNewcomerFirst(t *testing.T) {
	k := newTeam(10, []int{0, 1, 2, 3}, ones(4), ones(4))
	for i := range 3 {
		for range 50 {
			k.push(i, 10)
		}
	}
	for range 17 {
		k.serve()
	}
	k.push(3, 1)
	if x := k.serve(); x.source != 3 {
		t.Errorf("source %d was served before the newcomer", x.source)
	}
	k.used = make([]int64, 4)
	for range 120 { // it comes back whenever it was served, with a dear one
		if k.sources[3].Queued() == 0 {
			k.push(3, 30)
		}
		k.serve()
	}
	if all := k.used[0] + k.used[1] + k.used[2] + k.used[3]; k.used[3] > all/4+60 {
		t.Errorf("who comes and goes got %d of %d", k.used[3], all)
	}
}

// TestOver: a full queue's newcomer pushes out the newest of who holds the most for its weight.
func TestOver(t *testing.T) {
	k := newTeam(1, []int{0, 0, 1}, []int64{1, 1, 1}, []int64{1, 1})
	for range 5 {
		k.push(0, 1)
	}
	last := k.push(0, 1)
	if f := k.q.Over(k.sources[0]); f != nil {
		t.Error("who holds the most pushes out another's")
	}
	if f := k.q.Over(k.sources[1]); f != k.sources[0] || k.q.Newest(f) != &last.item {
		t.Error("another of the same workload does not push out the newest of the heaviest")
	}
	if f := k.q.Over(k.sources[2]); f != k.sources[0] {
		t.Error("another workload's does not push out the heaviest's")
	}
	for range 5 {
		k.push(2, 1)
	}
	if f := k.q.Over(k.sources[2]); f != nil {
		t.Error("the queue is shared evenly, and somebody has to give way to one who holds as much")
	}
	k.work[1].Weight = 2
	if f := k.q.Over(k.sources[2]); f != k.sources[0] {
		t.Error("a heavier weight does not count")
	}
}

// TestNoAllocation: waiting and being served costs none, neither where flows come and go by a book.
func TestNoAllocation(t *testing.T) {
	var b Book[int, *thing]
	b.Init(10)
	things := make([]thing, 8)
	turn := func() {
		for i := range things {
			things[i].item.Value = &things[i]
			b.Push(b.Flow(i, "w", 1, 1), &things[i].item)
		}
		for i := b.Next(); i != nil; i = b.Next() {
			f := i.Flow()
			b.Remove(i)
			b.Charge(f, 25)
		}
		b.Forgive()
	}
	turn()
	if n := testing.AllocsPerRun(100, turn); n != 0 {
		t.Errorf("%v allocations a turn of 8 items", n)
	}
	if b.Flows() != 0 {
		t.Errorf("%d flows are known when nobody waits", b.Flows())
	}
}
