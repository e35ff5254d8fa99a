package cluster

import (
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

var rule = govern.Breaker{
	Window: 10 * time.Second, MinCalls: 10, ErrorRate: 0.5, Slow: 100 * time.Millisecond, SlowRate: 0.8, OpenFor: 5 * time.Second,
	MaxOpen: 20 * time.Second, Probes: 3, MaxShare: 0.5,
}

// methodCalls counts n calls that end so at a method's breaker, as far as it lets them, and returns how many it let.
func methodCalls(w *world, b *Breaker, n int, class govern.Class, took int64) (let, opened int) {
	m := &Method{}
	for range n {
		w.now += 1e6
		if !b.Allow(w.now) {
			continue
		}
		let++
		o := Outcome{Cluster: w.c, Endpoint: w.c.Endpoints()[0], Method: m, Class: class, Sent: w.now, Now: w.now + took, MethodName: []byte("m")}
		if b.Count(&o, &rule, "r") {
			opened++
		}
		w.now += min(took, 10e6)
	}
	return let, opened
}

// TestMethodBreaker: it opens by the share of failed and of slow calls, but not for too few; half open it lets its probes
// through and no more; they close it, or open it for twice as long.
func TestMethodBreaker(t *testing.T) {
	w := newWorld(t, service("", 0, 0))
	b := &Breaker{}
	if let, opened := methodCalls(w, b, 9, govern.ClassFailed, 1e6); let != 9 || opened != 0 {
		t.Fatalf("nine calls: %d, %d", let, opened)
	}
	w.now += 11 * second
	if _, opened := methodCalls(w, b, 100, govern.ClassCaller, 1e6); opened != 0 {
		t.Fatal("what callers cause has opened it")
	}
	if let, opened := methodCalls(w, b, 200, govern.ClassDeadline, 2e9); let == 200 || opened != 1 {
		t.Fatalf("all miss their deadline: %d, %d", let, opened)
	}
	for _, length := range []int64{5, 10, 20, 20} {
		h := b.Health(w.now)
		if !h.Held || h.HalfOpen || h.Why.Reason != ReasonBreaker || h.Until-h.Since != length*second {
			t.Fatalf("want it open for %d s: %+v", length, h)
		}
		w.now = h.Until
		if !b.Would(w.now) || !b.Health(w.now).HalfOpen {
			t.Fatal("not half open")
		}
		if let, opened := methodCalls(w, b, 50, govern.ClassFailed, 1e6); let != 1 || opened != 1 {
			t.Fatalf("a probe fails: %d calls, opened %d times", let, opened)
		}
	}
	w.now = b.Health(w.now).Until
	if let, _ := methodCalls(w, b, 3, govern.ClassOK, 1e6); let != 3 || b.Health(w.now).Held {
		t.Fatalf("three probes ended well, of %d: %+v", let, b.Health(w.now))
	}
	if let, opened := methodCalls(w, b, 50, govern.ClassOK, 150e6); let == 50 || opened != 1 {
		t.Fatalf("all are slow: %d, %d", let, opened)
	}
}

// TestProbesAtOnce: calls that come while it is half open are let through up to the number of probes, and more only when
// nothing was heard of those for long.
func TestProbesAtOnce(t *testing.T) {
	w := newWorld(t, service("", 0, 0))
	b := &Breaker{}
	methodCalls(w, b, 20, govern.ClassFailed, 1e6)
	now := b.Health(w.now).Until
	for round := range int64(3) {
		n := 0
		for range 100 {
			if b.Allow(now + round*patience) {
				n++
			}
		}
		if n != rule.Probes {
			t.Errorf("round %d: %d probes, want %d", round, n, rule.Probes)
		}
	}
}

// TestMethodByHand: somebody's word goes first, for its time.
func TestMethodByHand(t *testing.T) {
	w := newWorld(t, service("", 0, 0))
	b := &Breaker{}
	b.Set(true, 10*second)
	if b.Allow(9*second) || !b.Allow(11*second) || b.Idle(9*second) || !b.Idle(11*second) {
		t.Error("open by hand")
	}
	w.now = 20 * second
	b.Set(false, 30*second)
	if let, opened := methodCalls(w, b, 100, govern.ClassFailed, 1e6); let != 100 || opened != 0 {
		t.Errorf("closed by hand: %d, %d", let, opened)
	}
	w.now = 31 * second
	if let, opened := methodCalls(w, b, 100, govern.ClassFailed, 1e6); let == 100 || opened != 1 {
		t.Errorf("later: %d, %d", let, opened)
	}
}

// TestEndpointBreaker: a rule's breaker keeps calls from an endpoint without any comparison, within its own share, and two
// rules count for themselves.
func TestEndpointBreaker(t *testing.T) {
	w := newWorld(t, service("", 0, 0, 0, 0))
	w.c.eject.maxShare = 0
	other := rule
	other.ErrorRate, other.SlowRate = 2, 0
	m := &Method{}
	opened := 0
	for i := range 400 {
		e := w.c.Pick(0, w.now, w.rnd, nil)
		w.now += 10e6
		o := Outcome{Cluster: w.c, Endpoint: e, Method: m, Class: govern.ClassFailed, Sent: w.now - 1e6, Now: w.now, MethodName: []byte("m")}
		if r := &rule; o.Trip(r, "r") {
			opened++
		}
		if i%2 == 0 && o.Trip(&other, "o") {
			t.Fatal("a rule that wants more failures than calls")
		}
	}
	if opened != 2 || w.c.Held() != 2 {
		t.Fatalf("all fail, and %d of 4 are held", w.c.Held())
	}
	for _, e := range w.c.Endpoints() {
		if h := w.c.Health(e, w.now); h.Held && (h.Why.Rule != "r" || h.Why.Failed < 5) {
			t.Errorf("the evidence: %s", h.Why.String())
		}
	}
}
