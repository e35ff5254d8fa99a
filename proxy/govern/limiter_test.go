package govern

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const second = int64(time.Second)

// bucketOf is the bucket of a limit that counts all calls together.
func bucketOf(l *Limit) *Bucket {
	return New([]Rule{{Name: "l", Limit: l}}, nil).Resolve("S", "m", &Source{}, nil).For(&Call{}).Bucket(0, nil, 0)
}

// TestRate: the bucket lets go what a plain token bucket lets go, and says rightly when the next one may.
func TestRate(t *testing.T) {
	for _, l := range []Limit{{Rate: 1, Burst: 1}, {Rate: 10, Burst: 3}, {Rate: 1000, Burst: 50}, {Rate: 1. / 60, Burst: 2}} {
		rnd := rand.New(rand.NewPCG(7, uint64(l.Rate)))
		b, now := bucketOf(&l), int64(0)
		tokens, every := float64(l.Burst), float64(second)/l.Rate
		for i := range 20_000 {
			step := rnd.Int64N(int64(every)*2) / 2 * int64(rnd.IntN(3)) / 2
			now, tokens = now+step, min(float64(l.Burst), tokens+float64(step)/every)
			wait, left, _ := b.Look(now)
			took := b.Take(now)
			if took != wait || left < 0 || (left == 0) != (wait > 0) {
				t.Fatalf("%s, call %d: Look says %d and %d left, Take %d", &l, i, wait, left, took)
			}
			near := tokens > 0.999 && tokens < 1.001 // rounding to ns
			if (took == 0) != (tokens >= 1) && !near {
				t.Fatalf("%s, call %d: took is %d with %f tokens", &l, i, took, tokens)
			}
			if took == 0 {
				tokens--
				continue
			}
			if rnd.IntN(4) == 0 {
				now, tokens = now+took, tokens+float64(took)/every
				if b.Take(now-1) == 0 || b.Take(now) != 0 {
					t.Fatalf("%s, call %d: not earned in time after %d", &l, i, took)
				}
				tokens--
			}
		}
	}
}

// TestConcurrency: never more in flight than the limit says, whoever takes and releases; a refusal takes nothing.
func TestConcurrency(t *testing.T) {
	b := bucketOf(&Limit{Concurrency: 8, Rate: 1e6, Burst: 1_000_000})
	var flying, most, taken atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20_000 {
				if b.Take(1) != 0 {
					continue
				}
				n := flying.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				taken.Add(1)
				flying.Add(-1)
				b.Release()
			}
		})
	}
	wg.Wait()
	if _, left, n := b.Look(1); n != 0 || most.Load() > 8 || taken.Load() == 0 || left != 1_000_000-int(taken.Load()) {
		t.Errorf("%d in flight at the end, %d at most, %d taken, %d left", n, most.Load(), taken.Load(), left)
	}
	b = bucketOf(&Limit{Concurrency: 2, Rate: 1, Burst: 1})
	if b.Take(0) != 0 || b.Take(0) != second {
		t.Fatal("the rate is not asked")
	}
	if _, _, n := b.Look(0); n != 1 {
		t.Errorf("%d in flight: the refusal by the rate has taken a place", n)
	}
	b.Refund()
	if b.Take(0) != 0 || b.Take(0) != -1 {
		t.Error("what was refunded is not there, or a third one is in flight")
	}
}

// TestWaiting: how many may wait is a bound.
func TestWaiting(t *testing.T) {
	b := bucketOf(&Limit{Concurrency: 1})
	if first, second, third := b.Join(2), b.Join(2), b.Join(2); !first || !second || third || b.Waiting() != 2 {
		t.Errorf("%d wait", b.Waiting())
	}
	b.Leave()
	if !b.Join(2) {
		t.Error("a place was left and is not given out")
	}
}

// TestKeys: each source, caller and so on has its own, and there are no more than the bound; those that are idle go.
func TestKeys(t *testing.T) {
	l := &Limit{Rate: 1, Burst: 1, By: []By{BySource, ByWorkload, ByCaller, ByService, ByMethod}}
	r := New([]Rule{{Name: "l", Limit: l}}, nil)
	d := r.Resolve("S", "m", &Source{Key: "k", Workload: "w"}, nil).For(&Call{})
	a := d.Bucket(0, []byte("shop"), 0)
	if a.Key != "source k, workload w, service S, method m, caller shop" || d.Bucket(0, []byte("shop"), 0) != a || d.Bucket(0, []byte("bank"), 0) == a {
		t.Errorf("%q, or not one bucket for each caller", a.Key)
	}
	if again := r.Resolve("S", "m", &Source{Key: "k", Workload: "w"}, nil).For(&Call{}).Bucket(0, []byte("shop"), 0); again != a {
		t.Error("another worker has another bucket")
	}
	long := make([]byte, 4*maxCaller)
	if b := d.Bucket(0, long, 0); len(b.Key) > 100+maxCaller {
		t.Errorf("a key of %d bytes", len(b.Key))
	}
	for i := range MaxKeys + 50 {
		d.Bucket(0, fmt.Append(nil, i), 0)
	}
	st := r.Limits(0)
	if len(st) != 1 || st[0].Rule != "l" || st[0].Keys != MaxKeys || st[0].Shared < 50 {
		t.Errorf("%+v", st)
	}
	if b := d.Bucket(0, []byte("one more"), 0); b.Key != "other" || b.Take(0) != 0 || d.Bucket(0, []byte("yet another"), 0).Take(0) == 0 {
		t.Error("those beyond the bound do not share one")
	}
	if len(d.limits[0].callers) > maxCallers {
		t.Errorf("a decision remembers %d callers", len(d.limits[0].callers))
	}
	now := int64(0)
	a.Take(now)
	now += 5 * second // a has earned its call, and is not idle for long enough
	if r.Limits(now); d.Bucket(0, []byte("shop"), now) != a {
		t.Error("a key was dropped that is not idle")
	}
	now += 2 * idleKey
	if st := r.Limits(now); st[0].Keys != 0 || d.Bucket(0, []byte("shop"), now) == a {
		t.Errorf("idle keys stay: %+v", st)
	}
	if b := d.Bucket(0, []byte("one more"), now); b.Key == "other" {
		t.Error("there is room, and one that was beyond the bound has no key of its own")
	}
}

// TestKeysOfManyLimits: the limits of a document share what keys there may be, also after a change of their number.
func TestKeysOfManyLimits(t *testing.T) {
	limits := func(n int) *Rules {
		list := make([]Rule, n)
		for i := range list {
			list[i] = Rule{Name: fmt.Sprint(i), Limit: &Limit{Rate: 1, Burst: 1, By: []By{ByCaller}}}
		}
		return New(list, nil)
	}
	many := limits(MaxRules)
	d := many.Resolve("S", "m", &Source{}, nil).For(&Call{})
	for i := range 300 {
		d.Bucket(0, fmt.Append(nil, i), 0)
	}
	if st := many.Limits(0); len(st) != MaxRules || st[0].Keys != 200 || st[0].Bound != 200 || st[0].Shared != 100 || st[1].Keys != 0 {
		t.Errorf("%+v", st[0])
	}
	few := limits(2)
	few.Inherit(many)
	d = few.Resolve("S", "m", &Source{}, nil).For(&Call{})
	for i := range 300 {
		d.Bucket(0, fmt.Append(nil, i), 0)
	}
	if st := few.Limits(0); st[0].Keys != 300 || st[0].Bound != MaxKeys || st[0].Shared != 100 {
		t.Errorf("%+v", st[0])
	}
}

// TestBusyKeysStay: a key with a call in flight or waiting is the same for ever.
func TestBusyKeysStay(t *testing.T) {
	r := New([]Rule{{Name: "l", Limit: &Limit{Concurrency: 2, By: []By{BySource}}}}, nil)
	d := r.Resolve("S", "m", &Source{Key: "a"}, nil).For(&Call{})
	a := d.Bucket(0, nil, 0)
	a.Take(0)
	if r.Limits(1000 * second); d.Bucket(0, nil, 1000*second) != a {
		t.Error("in flight, and dropped")
	}
	a.Join(1)
	a.Release()
	if r.Limits(2000 * second); d.Bucket(0, nil, 2000*second) != a {
		t.Error("waited for, and dropped")
	}
	a.Leave()
	if r.Limits(3000 * second); d.Bucket(0, nil, 3000*second) == a {
		t.Error("idle, and kept")
	}
}

// TestInherit: the state of a limit outlives a change of rules that leaves its name and numbers as they are.
func TestInherit(t *testing.T) {
	limit := func(burst int, by ...By) *Rules {
		return New([]Rule{{Name: "x", Deadline: 1}, {Name: "l", Limit: &Limit{Rate: 1, Burst: burst, By: by}}}, nil)
	}
	taken := func(r *Rules) bool {
		return r.Resolve("S", "m", &Source{Key: "k"}, nil).For(&Call{}).Bucket(0, nil, 0).Take(0) != 0
	}
	first := limit(1, BySource)
	if taken(first) || !taken(first) {
		t.Fatal("the limit is another")
	}
	for name, c := range map[string]struct {
		next *Rules
		same bool
	}{
		"the same": {limit(1, BySource), true}, "other numbers": {limit(2, BySource), false}, "counted for others": {limit(1), false},
	} {
		c.next.Inherit(first)
		if taken(c.next) != c.same {
			t.Errorf("%s: kept is %v", name, !c.same)
		}
	}
	(*Rules)(nil).Inherit(first)
	first.Inherit(nil)
	first.Inherit(first)
	if !taken(first) {
		t.Error("the state was lost")
	}
}

// TestManyChanges: a thousand changes of rules under calls of many keys leave no more in memory than one.
func TestManyChanges(t *testing.T) {
	var rules *Rules
	change := func(i int) {
		list := make([]Rule, 50)
		for k := range list {
			list[k] = Rule{Name: fmt.Sprintf("rule %d of %d", k, i/2), Limit: &Limit{Rate: 10, Burst: 5, By: []By{ByCaller}}}
		}
		next := New(list, nil)
		next.Inherit(rules)
		rules = next
		d := rules.Resolve("S", "m", &Source{}, nil).For(&Call{})
		for k := range 20 {
			d.Bucket(k, fmt.Append(nil, "caller ", i, k), int64(i)*second).Take(int64(i) * second)
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for i := range 100 {
		change(i)
	}
	before := heap()
	for i := 100; i < 1100; i++ {
		change(i)
	}
	if after := heap(); after > before+1<<20 {
		t.Errorf("from %d to %d bytes", before, after)
	}
	runtime.KeepAlive(rules)
}
