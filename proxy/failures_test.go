package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/registry"
)

// failed: "failed none" or "failed SERVICE METHOD CODE SOURCE [e1=CLASS …] [words of its text]": the newest failed call that
// is remembered of the method.
func (k *talk) failed(word string, args []string) error {
	if args[0] == "none" {
		if n := k.w.failures.kept(); n != 0 {
			return fmt.Errorf("%d are remembered", n)
		}
		return nil
	}
	all := k.w.failed(args[0], args[1])
	if len(all) == 0 {
		return fmt.Errorf("none is remembered of %s:%s", args[0], args[1])
	}
	f := all[0]
	if word == "failed-by" {
		// Timers have the grain of the wheel, and may be late by it.
		late := time.Duration(f.QueuedUS)*time.Microsecond - duration(k.t.(*testing.T), args[3])
		if f.Rule != args[2] || late < 0 || late > 2*time.Duration(tick) {
			return fmt.Errorf("got rule %q, queued for %dµs", f.Rule, f.QueuedUS)
		}
		return nil
	}
	got := f.Code + " " + f.Source
	var words []string
	for i, w := range args[2:] {
		if e, class, ok := strings.Cut(w, "="); i < 2 || ok {
			if ok {
				w = e + ":1=" + class
			}
			words = append(words, w)
			continue
		}
		if want := strings.Join(args[2+i:], " "); !strings.Contains(f.Text, want) {
			return fmt.Errorf("its text is %q", f.Text)
		}
		break
	}
	for _, a := range f.Attempts {
		got += " " + a.Endpoint + "=" + a.Class
	}
	if want := strings.Join(words, " "); got != want {
		return fmt.Errorf("got %q, want %q", got, want)
	}
	return nil
}

// failing is a rig whose every call fails with no_endpoint.
func failing(t testing.TB, each, total int) (call func(method string), r *rig) {
	r = newRig(t, func(c *Config) { c.Limits.FailedCalls, c.Limits.FailedTotal = each, total }, &registry.Snapshot{
		Services: map[string]*registry.Service{"Echo": {Name: "Echo"}},
	})
	d := r.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, Identity{Source: "pod-a", Workload: "shop/a"})
	frames := map[string][]byte{}
	return func(method string) {
		if frames[method] == nil {
			frames[method] = frame("Echo:"+method, 1, 7, 1, "x")
		}
		r.now += 1e6
		d.bring(frames[method])
		d.out = d.out[:0]
	}, r
}

// TestFailuresBounded: so many of a method, the newest; so many in all, those of the methods that failed last.
func TestFailuresBounded(t *testing.T) {
	call, r := failing(t, 4, 12)
	for i := range 10 {
		call(fmt.Sprint("m", i%2))
	}
	list := r.w.failed("Echo", "m1")
	if len(list) != 4 || r.w.failures.kept() != 8 {
		t.Fatalf("%d of the method, %d in all; want 4 and 8", len(list), r.w.failures.kept())
	}
	for i, f := range list {
		if f.Code != "no_endpoint" || f.Source != "pod-a" || f.Workload != "shop/a" || f.Method != "m1" || f.Text != "service Echo has no endpoint" {
			t.Errorf("%+v", f)
		}
		if i > 0 && !list[i-1].At.After(f.At) {
			t.Errorf("%v is not after %v", list[i-1].At, f.At)
		}
	}
	call("m2") // the third ring, and the last that there is room for
	call("m1")
	call("m3") // takes the place of m0, which has been quiet for longest
	for method, want := range map[string]int{"m0": 0, "m1": 4, "m2": 1, "m3": 1, "": 6} {
		if n := len(r.w.failed("Echo", method)); n != want {
			t.Errorf("%d of %q are remembered, want %d", n, method, want)
		}
	}
	call("m0")
	if n := len(r.w.failed("Echo", "m0")); n != 1 {
		t.Errorf("%d of m0, want 1", n)
	}
}

// TestFailuresOff: nothing is kept where nothing shall be.
func TestFailuresOff(t *testing.T) {
	call, r := failing(t, 0, 12)
	call("m")
	if n := len(r.w.failed("", "")); n != 0 {
		t.Errorf("%d are remembered", n)
	}
}

// TestFailuresClipped: names of any length have their room and no more, and nothing is cut within a letter.
func TestFailuresClipped(t *testing.T) {
	call, r := failing(t, 2, 12)
	long := strings.Repeat("ä", nameRoom)
	call(long)
	list := r.w.failed("Echo", long)
	if len(list) != 1 || list[0].Method != long[:nameRoom] {
		t.Fatalf("%+v", list)
	}
	if s := legible([]byte("ää")[:3]); s != "ä" {
		t.Errorf("%q", s)
	}
}

// TestFailuresNoAllocation: to remember a failed call costs no allocation, once its method has a ring.
func TestFailuresNoAllocation(t *testing.T) {
	_, r := failing(t, 4, 12)
	src := &source{Identity: Identity{Source: "pod-a"}}
	c := &call{w: r.w, src: src, stats: &methodStats{}, caller: []byte("shop")}
	c.tries.offered(&cluster.Endpoint{Network: "tcp", Addr: "e1:1"})
	if n := testing.AllocsPerRun(100, func() {
		said(r.w, "service Echo has no endpoint")
		r.w.noteFailure(c, 1)
	}); n != 0 {
		t.Errorf("%v allocations a failed call, want 0", n)
	}
}
