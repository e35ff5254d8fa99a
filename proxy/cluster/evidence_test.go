package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/registry"
)

// world plays calls against endpoints that behave as said, on one worker and passed-in time.
type world struct {
	t        *testing.T
	c        *Cluster
	v        Evidence
	rnd      *rand.Rand
	now      int64
	methods  map[string]*Method
	behave   func(e *Endpoint, workload string) (govern.Class, int64) // how a call ends, after so many ns
	got      map[*Endpoint]int
	ejected  map[Reason]int
	worst    []int64
	failures int
}

func newWorld(t *testing.T, s *registry.Service) *world {
	w := &world{t: t, c: compile(t, s, here), rnd: rnd(), now: second, methods: map[string]*Method{}}
	w.c.Timeout = time.Second
	w.behave = func(*Endpoint, string) (govern.Class, int64) { return govern.ClassOK, 1e6 }
	return w
}

// run plays calls of a workload, so many ns apart, until the time is over. An endpoint that refuses is tried no more than
// once a call, as the proxy does.
func (w *world) run(d time.Duration, apart int64, workloads ...string) {
	w.got, w.ejected, w.failures, w.worst = map[*Endpoint]int{}, map[Reason]int{}, 0, nil
	for end, i := w.now+int64(d), 0; w.now < end; w.now, i = w.now+apart, i+1 {
		w.call(workloads[i%len(workloads)])
	}
}

func (w *world) call(workload string) {
	var tried []*Endpoint
	for len(tried) < 3 {
		e := w.c.Pick(0, w.now, w.rnd, tried)
		if e == nil {
			break
		}
		class, took := w.behave(e, workload)
		if class == govern.ClassConnect {
			tried = append(tried, e)
			e.States[0].ConnectFailed(w.now)
			w.ejected[w.c.ConnectFailed(e, 0, w.now)]++
			continue
		}
		w.got[e]++
		w.end(e, workload, "m", class, took)
		return
	}
	w.failures++
}

func (w *world) end(e *Endpoint, workload, method string, class govern.Class, took int64) Reason {
	m := w.methods[method]
	if m == nil {
		m = &Method{}
		w.methods[method] = m
	}
	key := uint64(0)
	for _, b := range []byte(workload) {
		key = key*131 + uint64(b)
	}
	now := w.now + took
	e.States[0].Observe(now, took)
	if class == govern.ClassOK {
		e.States[0].Succeeded(now)
		e.States[0].Connected()
	}
	w.worst = append(w.worst, took)
	if class != govern.ClassOK && class != govern.ClassCaller {
		w.failures++
	}
	r := w.v.Observe(&Outcome{
		Cluster: w.c, Endpoint: e, Method: m, Class: class, Workload: key, Sent: w.now, Now: now, MethodName: []byte(method), WorkloadName: workload,
	})
	w.ejected[r]++
	return r
}

// TestFiveEndpoints: one of five is 20 times slower, one answers with INTERNAL_ERROR, one is dead, and business exceptions,
// which are successes, come from everywhere: the three are found, and nearly every call ends well and fast.
func TestFiveEndpoints(t *testing.T) {
	for _, b := range []string{"round-robin", "random", "least-active", "p2c"} {
		w := newWorld(t, service(b, make([]int, 5)...))
		all := w.c.Endpoints()
		w.run(5*time.Second, 1e6, "a")
		if w.ejected[ReasonErrors]+w.ejected[ReasonSlow]+w.ejected[ReasonConnect] != 0 || w.c.Held() != 0 {
			t.Fatalf("%s: all are well, and %v", b, w.ejected)
		}
		w.behave = func(e *Endpoint, _ string) (govern.Class, int64) {
			switch e {
			case all[0]:
				return govern.ClassOK, 20e6
			case all[1]:
				return govern.ClassFailed, 1e6
			case all[2]:
				return govern.ClassConnect, 0
			}
			return govern.ClassOK, 1e6
		}
		w.run(5*time.Second, 1e6, "a")
		for i, want := range []Reason{ReasonSlow, ReasonErrors, ReasonConnect} {
			h := w.c.Health(all[i], w.now)
			if i == 0 && b == "p2c" && !h.Held { // it sees for itself, and asks it for little
				if w.got[all[0]] > 100 {
					t.Errorf("p2c: the slow one had %d calls", w.got[all[0]])
				}
				continue
			}
			if !h.Held || h.Why.Reason != want {
				t.Errorf("%s: e%d: %+v, want it held for %s", b, i, h, want)
			}
			if i == 0 && (h.Why.Time < 10*time.Millisecond || h.Why.SiblingTime > 2*time.Millisecond) {
				t.Errorf("%s: the evidence is %s", b, h.Why.String())
			}
		}
		w.run(20*time.Second, 1e6, "a")
		slow := 0
		for _, took := range w.worst {
			if took > 1.5e6 {
				slow++
			}
		}
		if slow*200 > len(w.worst) || w.failures*200 > len(w.worst) {
			t.Errorf("%s: of %d calls %d were slow and %d failed", b, len(w.worst), slow, w.failures)
		}
		w.behave = func(*Endpoint, string) (govern.Class, int64) { return govern.ClassOK, 1e6 }
		w.run(3*time.Minute, 5e6, "a")
		if w.c.Held() != 0 {
			t.Errorf("%s: all are well again for long, and %d are held", b, w.c.Held())
		}
	}
}

// TestOneWorkload: the bad calls of one workload eject no endpoint: neither where all its calls are bad, nor where only those
// to one endpoint are and there is nothing to compare, nor where others' calls of the method go well there.
func TestOneWorkload(t *testing.T) {
	failsAt := func(e *Endpoint, workload string) func(*Endpoint, string) (govern.Class, int64) {
		return func(at *Endpoint, who string) (govern.Class, int64) {
			if who == workload && (e == nil || at == e) {
				return govern.ClassFailed, 1e6
			}
			return govern.ClassOK, 1e6
		}
	}
	w := newWorld(t, service("", 0, 0, 0))
	w.behave = failsAt(nil, "bad")
	w.run(time.Minute, 1e6, "bad", "bad", "good")
	if w.c.Held() != 0 || w.ejected[ReasonErrors] != 0 {
		t.Errorf("all calls of one workload are bad, and %d are held", w.c.Held())
	}

	w = newWorld(t, service("", 0, 0, 0))
	e := w.c.Endpoints()[0]
	for range 60_000 { // sticky: its calls go to one endpoint only
		w.now += 1e6
		w.ejected = map[Reason]int{}
		if r := w.end(e, "bad", "m", govern.ClassFailed, 1e6); r != ReasonNone {
			t.Fatalf("ejected for %s, by one workload's word", r)
		}
	}

	w = newWorld(t, service("", 0, 0, 0))
	w.behave = failsAt(w.c.Endpoints()[0], "bad")
	w.run(time.Minute, 1e6, "bad", "good")
	if w.c.Held() != 0 || w.ejected[ReasonErrors] != 0 {
		t.Errorf("it serves the calls of others, and is held: %v", w.c.Health(w.c.Endpoints()[0], w.now))
	}
}

// TestTwoWorkloads: where there is nothing to compare, two workloads are evidence; the same one twice is not.
func TestTwoWorkloads(t *testing.T) {
	for _, both := range []bool{true, false} {
		w := newWorld(t, service("", 0, 0, 0))
		w.ejected = map[Reason]int{}
		e := w.c.Endpoints()[0]
		for i := range 100 {
			w.now += 100e6
			who := "a"
			if both && i%2 == 1 {
				who = "b"
			}
			w.end(e, who, "m", govern.ClassLost, 1e6)
		}
		h := w.c.Health(e, w.now)
		if h.Held != both {
			t.Errorf("two workloads %t: %+v", both, h)
		}
		if both && (len(h.Why.Workloads) != 2 || h.Why.Workloads[0] == h.Why.Workloads[1]) {
			t.Errorf("the evidence is of %v", h.Why.Workloads)
		}
	}
}

// TestWhatCounts: which classes eject an endpoint whose siblings do well.
func TestWhatCounts(t *testing.T) {
	for class, want := range map[govern.Class]bool{
		govern.ClassOK: false, govern.ClassCaller: false, govern.ClassBusy: false, govern.ClassFailed: true, govern.ClassLost: true,
		govern.ClassRaced: true, govern.ClassDeadline: true,
	} {
		w := newWorld(t, service("", 0, 0, 0))
		bad := w.c.Endpoints()[1]
		w.behave = func(e *Endpoint, _ string) (govern.Class, int64) {
			if e == bad && w.now > 5*second {
				return class, 1e6
			}
			return govern.ClassOK, 1e6
		}
		w.run(10*time.Second, 10e6, "a")
		if got := w.c.Health(bad, w.now).Why.Reason == ReasonErrors; got != want {
			t.Errorf("%s: ejected %t, want %t", class, got, want)
		}
	}
}

// TestRaced: idle closes that race a write count only when they are repeated.
func TestRaced(t *testing.T) {
	c := cell{run: tally{calls: 5, failed: 4, raced: 2}}
	s := c.sum()
	if s.bad() != 4 {
		t.Errorf("two of them count: %d", s.bad())
	}
	if c.run.raced++; true {
		if s = c.sum(); s.bad() != 7 {
			t.Errorf("three do not: %d", s.bad())
		}
	}
}

// TestShortDeadline: a deadline counts only where the call was given as long as the method usually takes.
func TestShortDeadline(t *testing.T) {
	for _, c := range []struct {
		took int64
		want bool
	}{{1e6, false}, {8e6, false}, {12e6, true}, {1e9, true}} {
		w := newWorld(t, service("", 0, 0, 0))
		w.behave = func(*Endpoint, string) (govern.Class, int64) {
			return govern.ClassOK, 10e6 - int64(w.rnd.IntN(1e6))
		}
		w.run(5*time.Second, 10e6, "a")
		bad := w.c.Endpoints()[1]
		before := w.behave
		w.behave = func(e *Endpoint, workload string) (govern.Class, int64) {
			if e == bad {
				return govern.ClassDeadline, c.took
			}
			return before(e, workload)
		}
		w.run(5*time.Second, 10e6, "a")
		if got := w.c.Held() > 0; got != c.want {
			t.Errorf("deadlines after %v of a method that takes 10 ms: held %t", time.Duration(c.took), got)
		}
	}
	var m Method
	if m.asLongAs(1e6, 1e9) || !m.asLongAs(1e9, 1e9) {
		t.Error("of a method of which nothing is known, a deadline counts from what calls are allowed that bring none")
	}
}

// TestSmallServices: the only endpoint is never ejected, nor both of two.
func TestSmallServices(t *testing.T) {
	for n := 1; n <= 2; n++ {
		w := newWorld(t, service("", make([]int, n)...))
		w.run(time.Second, 1e6, "a", "b")
		w.behave = func(*Endpoint, string) (govern.Class, int64) { return govern.ClassFailed, 1e6 }
		w.run(time.Minute, 1e6, "a", "b")
		if w.c.Held() >= n {
			t.Errorf("%d of %d are held", w.c.Held(), n)
		}
	}
}

// TestNever: with ejection off nothing is ejected; with a share only so many are, whatever happens.
func TestNever(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := service([]string{"", "random", "round-robin", "p2c"}[seed%4], make([]int, 2+r.IntN(20))...)
		most := len(s.Endpoints) - 1
		switch seed % 3 {
		case 0:
			s.Ejection.MaxShare, most = registry.Off, 0
		case 1:
			s.Ejection.MaxShare = 0.2
			most = (len(s.Endpoints) + 4) / 5
		}
		w := newWorld(t, s)
		mood := map[*Endpoint]int{}
		w.behave = func(e *Endpoint, _ string) (govern.Class, int64) {
			if w.c.Held() > most {
				t.Fatalf("seed %d: %d of %d are held, at most %d may be", seed, w.c.Held(), len(s.Endpoints), most)
			}
			if r.IntN(200) == 0 {
				mood[e] = r.IntN(5)
			}
			return []govern.Class{govern.ClassOK, govern.ClassFailed, govern.ClassLost, govern.ClassOK, govern.ClassConnect}[mood[e]], []int64{1e6, 1e6, 1e6, 50e6, 0}[mood[e]]
		}
		w.run(20*time.Second, 1e6, "a", "b", "c")
	}
}

// TestBounded: the table has its bound, however many endpoints, methods and workloads there are, and what is used stays.
func TestBounded(t *testing.T) {
	w := newWorld(t, service("", make([]int, 300)...))
	w.ejected = map[Reason]int{}
	bad := w.c.Endpoints()[0]
	for i := range 300_000 {
		w.now += 1e5
		e := w.c.Endpoints()[i%300]
		w.end(e, fmt.Sprint("w", i%17), fmt.Sprint("m", i%13), govern.ClassOK, 1e6)
		if i%10 == 0 {
			w.end(bad, "busy", "m", govern.ClassFailed, 1e6)
			w.end(w.c.Endpoints()[1], "busy", "m", govern.ClassOK, 1e6)
		}
	}
	if len(w.v.cells) != mostCells {
		t.Errorf("there are %d cells, want %d", len(w.v.cells), mostCells)
	}
	if w.ejected[ReasonErrors] == 0 {
		t.Error("what is seen all the time was forgotten")
	}
}
