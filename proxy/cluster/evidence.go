package cluster

import (
	"math"
	"math/bits"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// Evidence is what one worker has seen of how calls end, by endpoint, method and workload, in a sliding window. It is
// bounded: what was not seen for longest makes room. Loop only.
//
//	Outcome ─► its endpoint's cell and that of all endpoints together ─► does this one fail, and its siblings do not? ─► eject
//
// It is asked twice: over the window, and at once over the calls since this endpoint did well last, so that neither a long
// good past hides a failure nor one that all have in common is held against the first of them.
type Evidence struct {
	cells   []cell // ways of them have the same place
	methods uint32
	groups  uint32 // cells of all endpoints that were made
}

// Bounds of the table, in cells of some 200 bytes. It doubles while cells that still say something are overwritten.
const (
	ways       = 4
	leastCells = 256
	mostCells  = 2048
)

// half is half of the window, in ns: a window is the half that runs and the one before.
const half = int64(10e9)

// Outcome is how one call ended that was sent to an endpoint.
type Outcome struct {
	Cluster  *Cluster // the whole one, not a view
	Endpoint *Endpoint
	Method   *Method
	Class    govern.Class
	Workload uint64 // the key of the caller's workload
	Sent     int64  // worker clock, ns
	Now      int64

	// Names for whoever reads of an ejection. They are copied only then.
	MethodName   []byte
	WorkloadName string
}

// Method is what a worker knows of one method of one service. The zero value is ready. Loop only.
type Method struct {
	id    uint32
	total uint32
	times [usualBuckets]uint16 // of good replies, in half octaves; halved again and again
}

// cell is what was seen of one endpoint, or of all, for one method and workload.
type cell struct {
	endpoint *Endpoint // nil: of all
	workload uint64
	muted    int64 // worker clock, ns: not judged before
	method   uint32
	epoch    uint32 // of run
	era      uint32 // of the endpoint
	group    uint32 // the number of the cell of all endpoints that the streaks began beside; of all: its own
	used     bool
	run      tally
	last     tally

	ever tally // of all endpoints: never forgotten; it may wrap
	bad  streak
	slow streak
}

// streak is an endpoint's calls in a row that did not do well.
type streak struct {
	n      uint32
	logs   uint32
	since  int64  // worker clock, ns
	ended  int64  // when the last one did well
	before timing // what all endpoints had when it began: calls, or reply times
	failed uint32 // and of them failed, or slow
}

// well ends a streak.
func (s *streak) well(now int64) { s.n, s.logs, s.ended = 0, 0, now }

// beside has the streaks begin anew when the cell of all endpoints is another one than when they began: what they were to be
// compared with has made room.
func (c *cell) beside(all *cell) *cell {
	if c.group != all.group {
		c.bad, c.slow, c.group = streak{ended: c.bad.ended}, streak{ended: c.slow.ended}, all.group
	}
	return c
}

// tally counts. Reply times are by how near the endpoints are: those that are equally near can be compared.
type tally struct {
	calls, failed, raced uint32
	slow                 uint32 // much slower than siblings
	times                [maxTiers]timing
}

// timing is a sum of logarithms: divided, it is the logarithm of the geometric mean, which a few outliers do not move,
// and it can be added and subtracted.
type timing struct{ n, logs uint32 }

func (t *tally) add(o *tally) {
	t.calls, t.failed, t.raced, t.slow = t.calls+o.calls, t.failed+o.failed, t.raced+o.raced, t.slow+o.slow
	for i := range t.times {
		t.times[i].n += o.times[i].n
		t.times[i].logs += o.times[i].logs
	}
}

// mark is one call, as it is counted.
type mark struct {
	near        uint8
	timed, slow bool
	log         uint32 // of its time
}

// count counts a call, but for how it ended.
func (t *tally) count(m mark) {
	t.calls++
	if m.timed {
		at := &t.times[m.near]
		at.n++
		at.logs += m.log
	}
	if m.slow {
		t.slow++
	}
}

// take subtracts, and never below nothing.
func (t *tally) take(o *tally) {
	t.calls, t.failed, t.raced, t.slow = less(t.calls, o.calls), less(t.failed, o.failed), less(t.raced, o.raced), less(t.slow, o.slow)
	for i := range t.times {
		t.times[i].take(o.times[i])
	}
}

func less(a, b uint32) uint32 { return a - min(a, b) }

// bad is what counts as failure: an idle close that raced a write does when it is repeated.
func (t *tally) bad() uint32 {
	if t.raced >= racedCounts {
		return t.failed + t.raced
	}
	return t.failed
}

const racedCounts = 3

func (c *cell) sum() tally {
	t := c.last
	t.add(&c.run)
	return t
}

// age forgets what is older than the window.
func (c *cell) age(epoch uint32) {
	switch epoch - c.epoch {
	case 0:
		return
	case 1:
		c.last = c.run
	default:
		c.last = tally{}
	}
	c.run, c.epoch = tally{}, epoch
}

// Reply times are counted in sixteenths of an octave.
const perOctave = 16

func logOf(ns int64) uint32 {
	v := uint64(max(ns, 1))
	e := bits.Len64(v) - 1
	return uint32(e)*perOctave + uint32(v<<(63-e)>>59)&(perOctave-1)
}

// take subtracts, and never below nothing.
func (t *timing) take(o timing) { *t = timing{less(t.n, o.n), less(t.logs, o.logs)} }

// slower reports whether t is slower than o by at least so many sixteenths of an octave.
func (t timing) slower(o timing, by uint32) bool {
	return uint64(t.logs)*uint64(o.n) >= (uint64(o.logs)+uint64(by)*uint64(o.n))*uint64(t.n)
}

func (c *cell) timing(near uint8) timing {
	return timing{c.run.times[near].n + c.last.times[near].n, c.run.times[near].logs + c.last.times[near].logs}
}

func (t timing) mean() float64 { return float64(t.logs) / float64(max(t.n, 1)) }

// ns is the geometric mean.
func (t timing) ns() int64 {
	if t.n == 0 {
		return 0
	}
	return int64(math.Exp2(t.mean() / perOctave))
}

// usualBuckets are half octaves up to 2^42 ns (73 minutes).
const usualBuckets = 2 * 42

// Bounds of what a method usually takes: fewer replies say nothing, and more are halved, so that old ones fade.
const (
	usualLeast = 50
	usualMost  = 4096
)

func (m *Method) took(ns int64) {
	m.times[min(logOf(ns)/(perOctave/2), usualBuckets-1)]++
	if m.total++; m.total < usualMost {
		return
	}
	m.total = 0
	for i := range m.times {
		m.times[i] /= 2
		m.total += uint32(m.times[i])
	}
}

// asLongAs reports whether a time is at least the method's usual p99. While that is not known: whether it is at least
// what calls get that bring no deadline.
func (m *Method) asLongAs(ns, allowed int64) bool {
	if m.total < usualLeast {
		return ns >= allowed
	}
	at, above := logOf(ns)/(perOctave/2), uint32(0)
	for i := int(at) + 1; i < usualBuckets; i++ {
		above += uint32(m.times[i])
	}
	return above*100 <= m.total
}

// cell finds or makes a cell. Loop only.
func (v *Evidence) cell(e *Endpoint, o *Outcome, epoch uint32) *cell {
	id := uint32(0)
	if e != nil {
		id = e.id
	}
	for {
		at := v.place(id, o.Method.id, o.Workload)
		set := v.cells[at : at+ways : at+ways]
		free := &set[0]
		for i := range set {
			c := &set[i]
			if c.endpoint == e && c.method == o.Method.id && c.workload == o.Workload && c.used {
				c.age(epoch)
				return c
			}
			if free.used && (!c.used || c.epoch < free.epoch) {
				free = c
			}
		}
		if free.used && epoch-free.epoch < 2 && len(v.cells) < mostCells {
			v.grow()
			continue
		}
		*free = cell{endpoint: e, workload: o.Workload, method: o.Method.id, epoch: epoch, used: true}
		if e != nil {
			free.era = e.era.Load()
		} else {
			v.groups++
			free.group = v.groups
		}
		return free
	}
}

// place is where the cells of a key are.
func (v *Evidence) place(id, method uint32, workload uint64) int {
	h := (workload ^ uint64(id)<<32 ^ uint64(method)) * 0x9E3779B97F4A7C15
	h ^= h >> 29
	h *= 0xBF58476D1CE4E5B9
	return int(h>>32%uint64(len(v.cells)/ways)) * ways
}

// grow doubles the table. What has no place in its set any more is left out: it has been seen longest ago or is as good.
func (v *Evidence) grow() {
	old := v.cells
	v.cells = make([]cell, max(2*len(old), leastCells))
	for i := range old {
		c := &old[i]
		if !c.used {
			continue
		}
		id := uint32(0)
		if c.endpoint != nil {
			id = c.endpoint.id
		}
		at := v.place(id, c.method, c.workload)
		for j := range ways {
			if !v.cells[at+j].used {
				v.cells[at+j] = *c
				break
			}
		}
	}
}
