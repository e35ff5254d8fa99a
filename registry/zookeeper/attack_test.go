package zookeeper

import (
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// never looks at everything that is published while f runs: the service must never be without its endpoints.
func (w *watcher) never(what string, bad func(registry.Update) bool, f func()) {
	w.t.Helper()
	w.mu.Lock()
	from := len(w.all)
	w.mu.Unlock()
	f()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range w.all[from:] {
		if bad(u) {
			w.t.Errorf("%s: %+v", what, u)
		}
	}
}

func lacks(name string) func(registry.Update) bool {
	return func(u registry.Update) bool { return u.Services[name] == nil || len(u.Services[name].Endpoints) == 0 }
}

// TestServersKilled: the leader, then all three, and back: the list stands meanwhile and is followed again after it.
func TestServersKilled(t *testing.T) {
	e := servers(t)
	o, r := operate(t, e), root(t)
	o.put(r+"/A/10.0.0.1:1", "")
	w := watch(t, ClientConfig{Servers: e.Servers(), Session: 4 * time.Second}, Options{Path: r + "/{service}", Services: []string{"A"}})
	w.await("A", has("A", "10.0.0.1:1"))
	w.never("the list was lost with the leader", lacks("A"), func() {
		leader := e.Leader()
		e.Kill(leader)
		o.put(r+"/A/10.0.0.2:1", "") // by the two that are left
		w.await("one more, without the old leader", has("A", "10.0.0.1:1", "10.0.0.2:1"))
		if err := e.Restart(leader); err != nil {
			t.Fatal(err)
		}
		if err := e.Await(20 * time.Second); err != nil {
			t.Fatal(err)
		}
	})
	w.never("the list was lost with all servers", lacks("A"), func() {
		for i := range 3 {
			e.Kill(i)
		}
		if w.Want("New") {
			if got := <-w.none; got != "New" { // bounded: the reading fails
				t.Errorf("%s is unknown", got)
			}
		}
		for i := range 3 {
			if err := e.Restart(i); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Await(20 * time.Second); err != nil {
			t.Fatal(err)
		}
		o.put(r+"/A/10.0.0.3:1", "")
		w.await("one more, after all were back", has("A", "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"))
	})
}

// TestSilence: a network that swallows everything, for longer than the session lives. The client library tells nothing
// while it is cut off; the list stands, the session expires and a new one has all watches again.
func TestSilence(t *testing.T) {
	e := servers(t)
	o, r := operate(t, e), root(t)
	o.put(r+"/A/10.0.0.1:1", "")
	f := forward(t, func() string { return e.Addr(0) })
	w := watch(t, ClientConfig{Servers: f.addr(), Session: 1500 * time.Millisecond}, Options{Path: r + "/{service}", Services: []string{"A"}})
	w.await("A", has("A", "10.0.0.1:1"))
	w.never("the list was lost", lacks("A"), func() {
		f.silent.Store(true)
		o.put(r+"/A/10.0.0.2:1", "")
		<-time.After(6 * time.Second) // the server gives the session up after at most two of its ticks more
		f.silent.Store(false)
		w.await("what was missed", has("A", "10.0.0.1:1", "10.0.0.2:1"))
	})
	o.put(r+"/A/10.0.0.3:1", "")
	w.await("by a watch of the new session", has("A", "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"))
	if st := w.Stats(); st.Expired == 0 || st.Lost == 0 {
		t.Errorf("the session has not expired: %+v", st)
	}
}

// TestPausedServer: a server that is stopped takes connections and never answers; another is found within the time of a
// greeting, not after ten times the session.
func TestPausedServer(t *testing.T) {
	e := servers(t)
	o, r := operate(t, e), root(t)
	o.put(r+"/A/10.0.0.1:1", "")
	leader := e.Leader()
	follower := (leader + 1) % 3
	if err := e.Pause(follower); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Resume(follower); err != nil {
			t.Error(err)
		}
		if err := e.Await(20 * time.Second); err != nil {
			t.Error(err)
		}
	}()
	w := watch(t, ClientConfig{Servers: e.Addr(follower) + "," + e.Addr(leader), Session: 6 * time.Second},
		Options{Path: r + "/{service}", Services: []string{"A"}})
	w.awaitFor(10*time.Second, "A, by the leader", has("A", "10.0.0.1:1"))
}

// TestLostWatches: events that never arrive, and watches that a reconnect does not set again: the audit finds the
// change, and heals the connection.
func TestLostWatches(t *testing.T) {
	e := servers(t)
	for name, lose := range map[string]func(*forwarder){
		"swallowed": func(f *forwarder) { f.swallow.Store(true) },
		"not-set-again": func(f *forwarder) {
			f.deaf.Store(true)
			f.cut()
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, r := operate(t, e), root(t)
			o.put(r+"/A/10.0.0.1:1", "")
			f := forward(t, func() string { return e.Addr(0) })
			w := watch(t, ClientConfig{Servers: f.addr(), Session: 10 * time.Second},
				Options{Path: r + "/{service}", Services: []string{"A"}, Audit: time.Second})
			w.await("A", has("A", "10.0.0.1:1"))
			lose(f)
			for f.dropped.Load() == 0 && name == "not-set-again" {
				<-time.After(10 * time.Millisecond)
			}
			o.put(r+"/A/10.0.0.2:1", "")
			w.await("found by the audit", has("A", "10.0.0.1:1", "10.0.0.2:1"))
			if st := w.Stats(); st.Corrected == 0 || f.dropped.Load() == 0 {
				t.Errorf("corrected %d, dropped %d: the audit had nothing to do", st.Corrected, f.dropped.Load())
			}
			f.swallow.Store(false)
			f.deaf.Store(false)
			f.cut() // what the audit does, once more with a network that works
			w.await("connected again", func(registry.Update) bool { return w.Stats().Connected })
			before := w.Stats().Corrected
			o.put(r+"/A/10.0.0.3:1", "")
			w.await("by a watch again", has("A", "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"))
			if after := w.Stats().Corrected; after > before+1 {
				t.Errorf("%d corrections more", after-before)
			}
		})
	}
}

// TestNoServer: whoever speaks something else is named, and so is an ensemble that is not there.
func TestNoServer(t *testing.T) {
	servers(t)
	http := serve(t, func(c conversation) { c.write("HTTP/1.1 400 Bad Request\r\n\r\n") })
	short := serve(t, func(c conversation) { c.write("\x00\x00\x00\x03abc") })
	for addr, want := range map[string]string{
		http:          `is no ZooKeeper server: its first bytes are "HTTP"`,
		short:         `is no ZooKeeper server: its first bytes are "\x00\x00\x00\x03"`,
		closedPort(t): "connection refused",
	} {
		w := watch(t, ClientConfig{Servers: addr, Session: time.Second}, Options{Services: []string{"A"}})
		awaitText(t, w.client.Problem, want)
		if w.last != nil {
			t.Error("something was published")
		}
	}
}
