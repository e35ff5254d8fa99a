package zookeeper

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// begin runs something in a bubble until the returned function ends it.
func begin(t *testing.T, run func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { run(ctx) })
	return func() {
		cancel()
		done.Wait()
	}
}

// pass lets time go by in a bubble, and waits until all is quiet again.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// lookout runs a source over a tree, in a bubble.
type lookout struct {
	*Source
	tr   *tree
	last registry.Update
	none []string
	stop func()
}

func look(t *testing.T, tr *tree, o Options) *lookout {
	o.Path, o.Log = "/s/{service}", quietLog()
	l := &lookout{tr: tr}
	var mu sync.Mutex
	l.Source = newSource(tr, o, func(s string) {
		mu.Lock()
		defer mu.Unlock()
		l.none = append(l.none, s)
	})
	l.stop = begin(t, func(ctx context.Context) { _ = l.Run(ctx, func(u registry.Update) { l.last = u }) })
	synctest.Wait()
	return l
}

// TestUnknownNames: a name that is not there costs one request and no more while it is remembered.
func TestUnknownNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree()
		l := look(t, tr, Options{Audit: time.Hour})
		defer l.stop()
		if !l.Want("A") {
			t.Fatal("A is not looked up")
		}
		synctest.Wait()
		if !slices.Equal(l.none, []string{"A"}) {
			t.Fatalf("unknown are %v", l.none)
		}
		before := tr.count()
		pass(2400 * time.Millisecond) // the 5 s, less at most a half
		if l.Want("A") || tr.count() != before || l.Stats().KnownUnknown != 1 {
			t.Errorf("asked again within the time: %d requests more, %+v", tr.count()-before, l.Stats())
		}
		pass(2700 * time.Millisecond)
		if !l.Want("A") {
			t.Error("A is not asked for again")
		}
		synctest.Wait()
		if tr.count() != before+1 {
			t.Errorf("%d requests", tr.count()-before)
		}
		tr.put(0, "/s/A/10.0.0.1:1")
		pass(6 * time.Second)
		l.Want("A")
		pass(time.Second)
		if !has("A", "10.0.0.1:1")(l.last) {
			t.Errorf("A came: %+v", l.last)
		}
	})
}

// TestWantBounds: each bound refuses, is counted, and what was taken before it is not harmed.
func TestWantBounds(t *testing.T) {
	for what, c := range map[string]struct {
		o    Options
		held bool
	}{
		"pending":  {Options{MaxPending: 3, Readers: 1}, true},
		"unknown":  {Options{MaxUnknown: 4}, false},
		"services": {Options{MaxServices: 4}, false},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := newTree()
				c.o.Audit = time.Hour
				l := look(t, tr, c.o)
				defer l.stop()
				held := make(chan struct{})
				if c.held {
					tr.set(func() { tr.held = held })
				}
				for i := range 10 {
					name := fmt.Sprint("N", i)
					if what == "services" {
						tr.put(0, "/s/"+name+"/10.0.0.1:1")
					}
					taken := l.Want(name)
					if taken != (i < 4) { // one of those that wait is being read
						t.Errorf("%s taken: %t", name, taken)
					}
					synctest.Wait()
				}
				if st := l.Stats(); st.Refused != 6 || st.Lookups != 4 || st.Pending > 3 {
					t.Errorf("stats %+v", st)
				}
				close(held)
				pass(time.Second)
				if st := l.Stats(); st.Pending != 0 || what == "services" && st.Watched != 4 || what != "services" && len(l.none) != 4 {
					t.Errorf("stats %+v, unknown %v", st, l.none)
				}
			})
		})
	}
}

// TestForget: a service that nobody calls is let go, said to be gone by our own will, and costs nothing any more.
func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree()
		tr.put(0, "/s/A/10.0.0.1:1", "/s/B/10.0.0.1:1", "/s/Pinned/10.0.0.1:1")
		l := look(t, tr, Options{Forget: 24 * time.Hour, Services: []string{"Pinned"}})
		defer l.stop()
		l.Want("A")
		l.Want("B")
		for range 20 {
			pass(time.Hour)
			l.Used("A")
		}
		if l.Stats().Watched != 3 {
			t.Fatalf("stats %+v", l.Stats())
		}
		pass(4*time.Hour + time.Minute)
		if u := l.last; u.Services["A"] == nil || u.Services["Pinned"] == nil || u.Services["B"] != nil || !u.Final["B"] || len(u.Final) != 1 {
			t.Errorf("the update is %+v", u)
		}
		if !l.Checked("B").IsZero() || l.Checked("A").IsZero() || l.Stats().Watched != 2 {
			t.Errorf("checked %s, stats %+v", l.Checked("B"), l.Stats())
		}
		l.Want("B")
		pass(time.Second)
		if u := l.last; u.Services["B"] == nil || len(u.Final) != 0 {
			t.Errorf("used again: %+v", u)
		}
	})
}

// TestAuditCorrects: a change without an event is found by the audit, counted, and the connection made anew; a change
// with one is not counted; Checked moves with what confirms.
func TestAuditCorrects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTree()
		tr.put(0, "/s/A/10.0.0.1:1")
		l := look(t, tr, Options{Services: []string{"A"}})
		defer l.stop()
		pass(time.Second)
		first := l.Checked("A")
		if first.IsZero() || !l.Checked("").IsZero() || !l.Checked("Z").IsZero() {
			t.Fatalf("checked %s", first)
		}
		pass(26 * time.Second)
		second := l.Checked("A")
		if st := l.Stats(); !second.After(first) || st.Audits == 0 || st.Corrected != 0 || tr.bounced != 0 {
			t.Errorf("after a quiet audit: checked %s and %s, %+v", first, second, st)
		}
		tr.put(0, "/s/A/10.0.0.2:1")
		pass(time.Second)
		if st := l.Stats(); !has("A", "10.0.0.1:1", "10.0.0.2:1")(l.last) || st.Corrected != 0 {
			t.Errorf("with an event: %+v, %+v", l.last, st)
		}
		tr.set(func() { tr.lost = true })
		tr.put(0, "/s/A/10.0.0.3:1")
		lost := time.Now()
		pass(10 * time.Second)
		tr.set(func() { tr.lost = false })
		pass(17 * time.Second)
		if st := l.Stats(); !has("A", "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")(l.last) || st.Corrected != 1 || tr.bounced != 1 {
			t.Errorf("without an event: %+v, %+v, made anew %d times", l.last, st, tr.bounced)
		}
		tr.set(func() { tr.fail = errCut })
		at := l.Checked("A")
		pass(time.Minute)
		if !at.After(lost) || l.Checked("A") != at || !has("A", "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")(l.last) {
			t.Errorf("cut off, it was checked at %s and %s", at, l.Checked("A"))
		}
	})
}
