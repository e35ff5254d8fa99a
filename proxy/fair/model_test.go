package fair

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// model is the same discipline written down plainly: slices, every round gone through, two levels by recursion.
type model struct {
	quantum  int64
	weight   int64
	credit   int64
	open     bool
	turning  bool
	parent   *model
	fresh    []*model
	old      []*model
	waiting  []int // ids, of a source
	name     int
	children []*model
}

func (m *model) queued() (n int) {
	for _, c := range m.children {
		n += c.queued()
	}
	return n + len(m.waiting)
}

func (m *model) enter() {
	if m.parent == nil || m.open {
		return
	}
	m.open, m.turning, m.credit = true, true, m.quantum*m.weight
	m.parent.fresh = append(m.parent.fresh, m)
	m.parent.enter()
}

func (m *model) leave() {
	for _, c := range m.children {
		if c.open {
			c.leave()
		}
	}
	same := func(o *model) bool { return o == m }
	m.parent.fresh, m.parent.old = slices.DeleteFunc(m.parent.fresh, same), slices.DeleteFunc(m.parent.old, same)
	m.open, m.turning, m.credit = false, false, 0
}

func (m *model) turn() *model {
	for {
		if len(m.fresh) > 0 {
			c := m.fresh[0]
			if c.queued() > 0 && c.credit > 0 {
				return c
			}
			c.turning = false
			m.fresh, m.old = m.fresh[1:], append(m.old, c)
			continue
		}
		c := m.old[0]
		if !c.turning {
			if c.credit >= 0 && c.queued() == 0 {
				c.leave()
				continue
			}
			c.turning = true
			c.credit = min(c.credit, 0) + c.quantum*c.weight
		}
		if c.credit > 0 && c.queued() > 0 {
			return c
		}
		c.turning = false
		m.old = append(m.old[1:], c)
	}
}

// TestAgainstModel: whatever comes, is taken out, is served and is charged later, the order is the model's.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 9))
		quantum := 1 + rnd.Int64N(30)
		nWork, n := 1+rnd.IntN(4), 1+rnd.IntN(8)
		root := &model{quantum: quantum}
		var work, sources []*model
		workWeights, weights, of := make([]int64, nWork), make([]int64, n), make([]int, n)
		for i := range workWeights {
			workWeights[i] = 1 + rnd.Int64N(5)
			work = append(work, &model{quantum: quantum, weight: workWeights[i], parent: root})
		}
		root.children = work
		for i := range of {
			of[i], weights[i] = rnd.IntN(nWork), 1+rnd.Int64N(5)
			m := &model{quantum: quantum, weight: weights[i], parent: work[of[i]], name: i}
			sources = append(sources, m)
			m.parent.children = append(m.parent.children, m)
		}
		k := newTeam(quantum, of, weights, workWeights)
		compare(t, rnd, k, root, sources)
	}
}

func compare(t *testing.T, rnd *rand.Rand, k *team, root *model, sources []*model) {
	things := map[int]*thing{}
	id := 0
	charge := func(i int, cost int64) {
		k.q.Charge(k.sources[i], cost)
		sources[i].enter()
		sources[i].credit -= cost
		sources[i].parent.credit -= cost
	}
	for step := range 600 {
		i := rnd.IntN(len(sources))
		switch op := rnd.IntN(10); {
		case op < 4:
			id++
			things[id] = k.push(i, int64(id))
			sources[i].enter()
			sources[i].waiting = append(sources[i].waiting, id)
		case op == 4:
			charge(i, rnd.Int64N(400)-50)
		case op == 5 && len(sources[i].waiting) > 0:
			at := rnd.IntN(len(sources[i].waiting))
			k.q.Remove(&things[sources[i].waiting[at]].item)
			sources[i].waiting = slices.Delete(sources[i].waiting, at, at+1)
		case op == 6 && k.q.Len() == 0 && rnd.IntN(3) == 0:
			k.q.Forgive()
			for _, w := range root.children {
				if w.open {
					w.leave()
				}
			}
		case op > 6 && k.q.Len() > 0:
			got, m := k.q.Next(), root.turn().turn()
			want := m.waiting[0]
			if got.Value.cost != int64(want) {
				t.Fatalf("step %d: item %d of source %d was next, want %d of source %d", step, got.Value.cost, got.Value.source, want, m.name)
			}
			k.q.Remove(got)
			m.waiting = m.waiting[1:]
			charge(m.name, rnd.Int64N(60)*rnd.Int64N(20))
		}
		if k.q.Len() != root.queued() {
			t.Fatalf("step %d: %d wait, want %d", step, k.q.Len(), root.queued())
		}
	}
}

// TestNoStarvation: one item waits while many come and go as they like; it is served within everybody's two turns.
func TestNoStarvation(t *testing.T) {
	const n = 20
	of := make([]int, n)
	for i := range of {
		of[i] = i
	}
	k := newTeam(10, of, ones(n), ones(n))
	for range 200 {
		mine := k.push(0, 500) // dear: it owes for the next
		for served := 0; mine.item.Queued(); served++ {
			for i := 1; i < n; i++ {
				if k.sources[i].Queued() == 0 && k.rnd.IntN(2) == 0 {
					k.push(i, 1+k.rnd.Int64N(10))
				}
			}
			k.serve()
			if served > 52*10*n {
				t.Fatal("it waits for ever")
			}
		}
	}
}
