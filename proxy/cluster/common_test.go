package cluster

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// TestCommonTrouble: what all endpoints have in common is held against none, not even against the first of them that shows
// it: a method that begins to fail, a database that becomes slow, a storm in which every endpoint fails half its calls.
func TestCommonTrouble(t *testing.T) {
	for _, b := range []string{"round-robin", "random", "least-active", "p2c"} {
		for seed := range uint64(3) {
			for name, trouble := range map[string]func(w *world) (govern.Class, int64){
				"fails":     func(*world) (govern.Class, int64) { return govern.ClassFailed, 1e6 },
				"slow":      func(*world) (govern.Class, int64) { return govern.ClassOK, 50e6 },
				"deadlines": func(*world) (govern.Class, int64) { return govern.ClassDeadline, 1e9 },
				"half": func(w *world) (govern.Class, int64) {
					return []govern.Class{govern.ClassOK, govern.ClassFailed}[w.rnd.IntN(2)], 1e6
				},
				"two ways": func(w *world) (govern.Class, int64) {
					return govern.ClassOK, []int64{1e5, 1e5, 20e6}[w.rnd.IntN(3)]
				},
				"uneven": func(w *world) (govern.Class, int64) { return govern.ClassOK, int64(1e5 * w.rnd.ExpFloat64() * 50) },
			} {
				w := newWorld(t, service(b, make([]int, 5)...))
				w.rnd = rand.New(rand.NewPCG(seed, 2))
				w.run(30*time.Second, 2e6, "a", "b")
				w.behave = func(*Endpoint, string) (govern.Class, int64) { return trouble(w) }
				w.run(60*time.Second, 2e6, "a", "b")
				if n := w.ejected[ReasonErrors] + w.ejected[ReasonSlow]; n > 0 {
					t.Errorf("%s, %s: %v", b, name, w.ejected)
				}
			}
		}
	}
}

// TestQuick: after a long good past, an endpoint that begins to fail is ejected after a few calls, and one of two that begin
// to fail together is, too.
func TestQuick(t *testing.T) {
	for bad := 1; bad <= 2; bad++ {
		w := newWorld(t, service("", make([]int, 5)...))
		w.run(30*time.Second, 1e6, "a", "b", "c")
		all := w.c.Endpoints()
		w.behave = func(e *Endpoint, _ string) (govern.Class, int64) {
			if e == all[0] || bad == 2 && e == all[1] {
				return govern.ClassLost, 1e6
			}
			return govern.ClassOK, 1e6
		}
		w.run(time.Second, 1e6, "a", "b", "c")
		if w.c.Held() != bad || w.failures > 40*bad {
			t.Errorf("%d begin to fail: %d are held, and %d of 1000 calls failed", bad, w.c.Held(), w.failures)
		}
	}
}

// TestNearestFails: an endpoint on this host has every call, so there is nothing to compare when it fails: some calls then go
// to its siblings, and it is ejected if they end well there. Where they don't, it stays.
func TestNearestFails(t *testing.T) {
	for _, b := range []string{"round-robin", "random", "least-active", "p2c"} {
		for _, all := range []bool{false, true} {
			s := zones(1, 3, 0)
			s.Balancer = b
			w := newWorld(t, s)
			near := w.c.Endpoints()[0]
			w.run(5*time.Second, 2e6, "a")
			if w.got[near] != 2500 {
				t.Fatalf("%s: this host's has %d of 2500 calls", b, w.got[near])
			}
			w.behave = func(e *Endpoint, _ string) (govern.Class, int64) {
				if e == near || all {
					return govern.ClassFailed, 1e6
				}
				return govern.ClassOK, 1e6
			}
			w.run(4*time.Second, 2e6, "a")
			if held := w.c.Health(near, w.now).Held; held == all {
				t.Errorf("%s: all fail %t, and it is held %t", b, all, held)
			}
			if !all && w.failures > 100 {
				t.Errorf("%s: %d calls failed", b, w.failures)
			}
		}
	}
}

// TestOneEvent: calls that were under way together when a server paused for a collection of garbage, or crashed, are slow or
// lost together. That is one event, however many they were, and ejects nothing; if it lasts, the calls after it do.
func TestOneEvent(t *testing.T) {
	for class, took := range map[govern.Class]int64{govern.ClassOK: 200e6, govern.ClassLost: 1e6} {
		w := newWorld(t, service("", make([]int, 5)...))
		e := w.c.Endpoints()[1]
		for range 20 {
			w.run(3*time.Second, 5e6, "a")
			for range 50 { // sent at the same time, and so they end
				w.end(e, "a", "m", class, took)
			}
			w.now += 1e9
		}
		if h := w.c.Health(e, w.now); h.Held || w.ejected[ReasonErrors]+w.ejected[ReasonSlow] > 0 {
			t.Errorf("%s: %+v", class, h)
		}
		w.behave = func(at *Endpoint, _ string) (govern.Class, int64) {
			if at == e {
				return class, took
			}
			return govern.ClassOK, 1e6
		}
		w.run(3*time.Second, 5e6, "a")
		if !w.c.Health(e, w.now).Held {
			t.Errorf("%s: it lasts, and it is not held", class)
		}
	}
}

// TestPartly: an endpoint that fails most of its calls, but not in a row, is found too.
func TestPartly(t *testing.T) {
	w := newWorld(t, service("", make([]int, 4)...))
	bad, n := w.c.Endpoints()[2], 0
	w.behave = func(e *Endpoint, _ string) (govern.Class, int64) {
		if e == bad {
			if n++; n%4 != 0 {
				return govern.ClassFailed, 1e6
			}
		}
		return govern.ClassOK, 1e6
	}
	w.run(30*time.Second, 5e6, "a")
	if w.ejected[ReasonErrors] == 0 {
		t.Errorf("it fails three of four calls: %v", w.ejected)
	}
}

// TestFarIsNotSlow: an endpoint in another zone is further away and no slower for that.
func TestFarIsNotSlow(t *testing.T) {
	w := newWorld(t, zones(0, 3, 3))
	for _, e := range w.c.Endpoints()[:2] {
		e.Set(true, 0, Forever) // so that calls spill
	}
	w.behave = func(e *Endpoint, _ string) (govern.Class, int64) {
		return govern.ClassOK, []int64{0, 2e5, 20e6}[e.near]
	}
	w.run(30*time.Second, 5e6, "a")
	if w.ejected[ReasonSlow] > 0 || w.got[w.c.Endpoints()[5]] < 100 {
		t.Errorf("%v; the far one had %d calls", w.ejected, w.got[w.c.Endpoints()[5]])
	}
}
