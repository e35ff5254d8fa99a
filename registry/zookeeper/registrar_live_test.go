package zookeeper

import (
	"context"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/bellhop-mesh/bellhop/registry"
)

// host is a running registrar, as a proxy has one.
type host struct {
	*Registrar
	client *Client
	t      *testing.T
	stop   func() // ends Run
}

func register(t *testing.T, cc ClientConfig, o RegistrarOptions, list ...Registration) *host {
	t.Helper()
	cc.Log, o.Log = testLog(t), testLog(t)
	c, err := NewClient(cc)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{Registrar: NewRegistrar(c, o), client: c, t: t}
	for _, g := range list {
		if err := h.Register(g); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { _ = h.Run(ctx) })
	h.stop = sync.OnceFunc(func() {
		cancel()
		done.Wait()
	})
	t.Cleanup(func() {
		h.stop()
		c.Close()
	})
	return h
}

// abandon is what a crash leaves: the session lives until it expires.
func (h *host) abandon() {
	h.stop()
	h.client.Abandon()
}

func (h *host) await(what string, ok func(RegistrarStats) bool) {
	h.t.Helper()
	for deadline := time.After(20 * time.Second); !ok(h.Stats()); {
		select {
		case <-deadline:
			h.t.Fatalf("%s: not within 20s; stats %+v", what, h.Stats())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func inPlace(n int) func(RegistrarStats) bool {
	return func(st RegistrarStats) bool { return st.InPlace == n && st.Wanted == n && st.Leaving == 0 }
}

func at(l Layout, path, service, addr string) Registration {
	return Registration{Layout: l, Path: path, Service: service, Endpoint: registry.Endpoint{Addr: addr}}
}

// owner is the session of a node; 0 when there is none.
func (o operator) owner(p string) int64 {
	o.t.Helper()
	var owner int64
	o.insist(func() error {
		there, stat, err := o.Exists(p)
		if err == nil && there {
			owner = stat.EphemeralOwner
		}
		return err
	})
	return owner
}

func (o operator) list(p string) []string {
	o.t.Helper()
	var list []string
	o.insist(func() (err error) {
		list, _, err = o.Children(p)
		return err
	})
	slices.Sort(list)
	return list
}

// follow lists a node after every change until stop, and says how often it was listed and how often it was empty.
func (o operator) follow(p string) (stop func() (lists, empty int)) {
	o.t.Helper()
	ended, done := make(chan struct{}), make(chan struct{})
	var lists, empty int
	go func() {
		defer close(done)
		for {
			list, _, news, err := o.ChildrenW(p)
			if err == nil {
				lists++
				if len(list) == 0 {
					empty++
				}
			}
			select {
			case <-news:
			case <-ended:
				return
			case <-time.After(20 * time.Millisecond): // a poll beside the watch
			}
		}
	}()
	return sync.OnceValues(func() (int, int) {
		close(ended)
		<-done
		return lists, empty
	})
}

// TestRegister: in every layout what is registered is discovered, changed, withdrawn and put back.
func TestRegister(t *testing.T) {
	e := servers(t)
	for _, l := range Layouts() {
		t.Run(string(l), func(t *testing.T) {
			o, r := operate(t, e), root(t)
			full := Registration{Layout: l, Path: r + "/deep/{service}", Service: "com.example.A", Endpoint: registry.Endpoint{
				Addr: "10.0.0.5:9090", Weight: 7, Zone: "a", Version: "1.2", Labels: map[string]string{"team": "shop"},
			}, Mode: "exclusive", Additional: "thrift"}
			other := at(l, r+"/deep/{service}", "com.example.A", "10.0.0.6:9090")
			remote := at("", r+"/remotes", "", "10.0.0.7:7300")
			h := register(t, ClientConfig{Servers: e.Servers()}, RegistrarOptions{}, full, other, remote)
			h.await("all", inPlace(3))
			w := watch(t, ClientConfig{Servers: e.Servers()},
				Options{Layout: l, Path: r + "/deep/{service}", Services: []string{"com.example.A"}, Remotes: r + "/remotes"})
			w.await("all", func(u registry.Update) bool {
				return has("com.example.A", "10.0.0.5:9090", "10.0.0.6:9090")(u) && len(u.Remotes) == 1 && u.Remotes[0].Addr == "10.0.0.7:7300"
			})
			labelled := func(e registry.Endpoint) bool { return e.Addr == "10.0.0.5:9090" && e.Labels["team"] == "shop" }
			if a := w.last.Services["com.example.A"]; l == Bellhop && (a.Mode != "exclusive" || !slices.ContainsFunc(a.Endpoints, labelled)) {
				t.Errorf("got %+v", a)
			}
			if l != Dapeng { // which says nothing else
				full.Endpoint.Zone = "b"
				if err := h.Register(full); err != nil {
					t.Fatal(err)
				}
				w.never("a changed zone took the instance away", func(u registry.Update) bool { return len(u.Services["com.example.A"].Endpoints) < 2 }, func() {
					w.await("the new zone", func(u registry.Update) bool {
						return slices.ContainsFunc(u.Services["com.example.A"].Endpoints, func(e registry.Endpoint) bool { return e.Zone == "b" })
					})
				})
			}
			<-h.Withdraw(full)
			w.await("one less", has("com.example.A", "10.0.0.6:9090"))
			if err := h.Register(full); err != nil {
				t.Fatal(err)
			}
			w.await("put back", has("com.example.A", "10.0.0.5:9090", "10.0.0.6:9090"))
			h.await("put back", inPlace(3))
			h.stop()
			h.client.Close()
			w.await("all gone with the session", func(u registry.Update) bool {
				return has("com.example.A")(u) && len(u.Remotes) == 0
			})
			if st := h.Stats(); st.Corrected != 0 || st.TakenOver != 0 || st.Failures != 0 {
				t.Errorf("stats %+v", st)
			}
			if list := o.list(r + "/deep/com.example.A"); len(list) != 0 {
				t.Errorf("left behind: %v", list)
			}
		})
	}
}

// TestReown: a process dies without a word; the next one takes every node over while the old session lives, and who
// watches never sees one gone: not at the take-over, and not when the old session expires.
func TestReown(t *testing.T) {
	e := servers(t)
	for _, l := range Layouts() {
		t.Run(string(l), func(t *testing.T) {
			o, r := operate(t, e), root(t)
			g, unwell := at(l, r+"/{service}", "A", "10.0.0.5:9090"), at(l, r+"/{service}", "B", "10.0.0.5:9091")
			first := register(t, ClientConfig{Servers: e.Servers(), Session: 3 * time.Second}, RegistrarOptions{}, g, unwell)
			first.await("the first", inPlace(2))
			p := r + "/A/" + o.list(r + "/A")[0]
			before := o.owner(p)
			stop := o.follow(r + "/A")
			first.abandon()
			second := register(t, ClientConfig{Servers: e.Servers(), Session: 10 * time.Second}, RegistrarOptions{}, g)
			second.await("the second", inPlace(1))
			after := o.owner(p)
			if after == 0 || after == before {
				t.Errorf("the node's session was %#x and is %#x", before, after)
			}
			<-second.Withdraw(unwell) // never registered here: a predecessor's
			if list := o.list(r + "/B"); len(list) != 0 {
				t.Errorf("the predecessor's node stays: %v", list)
			}
			<-time.After(5 * time.Second) // the old session expires: after 3 s, and at most two ticks more
			lists, empty := stop()
			if empty > 0 || lists < 100 {
				t.Errorf("of %d listings %d were empty", lists, empty)
			}
			if now := o.owner(p); now != after {
				t.Errorf("the node's session was %#x and is %#x: it went with the old one", after, now)
			}
			if st := second.Stats(); st.TakenOver != 1 || st.Corrected != 0 || st.Failures != 0 || st.InPlace != 1 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

// TestRegistrarServersKilled: the leader, then all; nothing is lost while the session lives.
func TestRegistrarServersKilled(t *testing.T) {
	e := servers(t)
	o, r := operate(t, e), root(t)
	h := register(t, ClientConfig{Servers: e.Servers(), Session: 10 * time.Second}, RegistrarOptions{}, at(Bellhop, r+"/{service}", "A", "10.0.0.5:9090"))
	h.await("before", inPlace(1))
	owner := o.owner(r + "/A/10.0.0.5:9090")
	leader := e.Leader()
	e.Kill(leader)
	if err := h.Register(at(Bellhop, r+"/{service}", "B", "10.0.0.5:9091")); err != nil {
		t.Fatal(err)
	}
	h.await("one more, without the old leader", inPlace(2))
	if now := o.owner(r + "/A/10.0.0.5:9090"); now != owner {
		t.Errorf("the session was %#x and is %#x", owner, now)
	}
	for i := range 3 {
		e.Kill(i)
	}
	if err := h.Register(at(Bellhop, r+"/{service}", "C", "10.0.0.5:9092")); err != nil {
		t.Fatal(err)
	}
	gone := h.Withdraw(at(Bellhop, r+"/{service}", "B", "10.0.0.5:9091"))
	h.await("a failed try", func(st RegistrarStats) bool { return st.Failures > 0 && st.Problem != "" && st.Leaving == 1 })
	for i := range 3 {
		if err := e.Restart(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Await(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	<-gone
	h.await("after all were back", inPlace(2))
	if b, c := o.owner(r+"/B/10.0.0.5:9091"), o.owner(r+"/C/10.0.0.5:9092"); b != 0 || c == 0 {
		t.Errorf("B's session is %#x, C's %#x", b, c)
	}
	if st := h.Stats(); st.Problem != "" || st.Corrected != 0 {
		t.Errorf("stats %+v", st)
	}
}

// TestRegistrarExpired: a silent network for longer than the session lives; the nodes are gone with it, and made again.
func TestRegistrarExpired(t *testing.T) {
	e := servers(t)
	o, r := operate(t, e), root(t)
	f := forward(t, func() string { return e.Addr(0) })
	h := register(t, ClientConfig{Servers: f.addr(), Session: 1500 * time.Millisecond}, RegistrarOptions{}, at(Bellhop, r+"/{service}", "A", "10.0.0.5:9090"))
	h.await("before", inPlace(1))
	p := r + "/A/10.0.0.5:9090"
	owner := o.owner(p)
	f.silent.Store(true)
	for o.owner(p) != 0 {
		<-time.After(10 * time.Millisecond)
	}
	f.silent.Store(false)
	h.await("again", func(st RegistrarStats) bool { return inPlace(1)(st) && o.owner(p) != 0 })
	if now := o.owner(p); now == owner {
		t.Errorf("the session is still %#x", now)
	}
	if st := h.Stats(); st.Corrected != 0 || st.Contested != 0 || st.TakenOver != 0 {
		t.Errorf("stats %+v", st)
	}
}

// TestVandals: nodes that others remove, with their parents, or write, are made again; what was made by hand, and what
// names another address, is left alone and told.
func TestVandals(t *testing.T) {
	e := servers(t)
	o, r := operate(t, e), root(t)
	g := at(Bellhop, r+"/services/{service}", "A", "10.0.0.5:9090")
	h := register(t, ClientConfig{Servers: e.Servers()}, RegistrarOptions{}, g)
	h.await("before", inPlace(1))
	p := r + "/services/A/10.0.0.5:9090"
	_, err := o.Multi(&zk.DeleteRequest{Path: p, Version: -1}, &zk.DeleteRequest{Path: path.Dir(p), Version: -1},
		&zk.DeleteRequest{Path: r + "/services", Version: -1}, &zk.DeleteRequest{Path: r, Version: -1})
	if err != nil {
		t.Fatal(err)
	}
	h.await("again", func(st RegistrarStats) bool { return st.Corrected == 1 && inPlace(1)(st) && o.owner(p) != 0 })
	if _, err := o.Set(p, []byte(`{"weight":1}`), -1); err != nil {
		t.Fatal(err)
	}
	h.await("its own data again", func(st RegistrarStats) bool {
		b, _, err := o.Get(p)
		return err == nil && string(b) == "{}" && st.Corrected == 2 && inPlace(1)(st)
	})

	hand := at(Bellhop, r+"/services/{service}", "Hand", "10.0.0.5:9090")
	o.put(r+"/services/Hand/10.0.0.5:9090", `{"weight":3}`)
	if err := h.Register(hand); err != nil {
		t.Fatal(err)
	}
	h.await("the problem", func(st RegistrarStats) bool { return strings.Contains(st.Problem, errByHand.Error()) })
	<-h.Withdraw(hand)
	if b, _, err := o.Get(r + "/services/Hand/10.0.0.5:9090"); err != nil || string(b) != `{"weight":3}` {
		t.Errorf("what was made by hand holds %q, %v", b, err)
	}

	other := at(Curator, r+"/services/{service}", "Other", "10.0.0.5:9090")
	id, _, err := Curator.encode("Other", "", member{endpoint: other.Endpoint})
	if err != nil {
		t.Fatal(err)
	}
	o.put(r+"/services/Other", "")
	if _, err := o.Create(r+"/services/Other/"+id, []byte(`{"address":"10.9.9.9","port":1}`), zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	if err := h.Register(other); err != nil {
		t.Fatal(err)
	}
	h.await("the problem", func(st RegistrarStats) bool { return strings.Contains(st.Problem, errNotOurs.Error()) })
	<-h.Withdraw(other)
	if list := o.list(r + "/services/Other"); len(list) != 1 {
		t.Errorf("another address's node is gone: %v", list)
	}
}

// TestTwoOwners: two processes with one address in their configuration: the later has the node at once, the earlier
// takes it back after a while, and then each waits longer; callers never miss it.
func TestTwoOwners(t *testing.T) {
	e := servers(t)
	o, r := operate(t, e), root(t)
	g := at(Bellhop, r+"/{service}", "A", "10.0.0.5:9090")
	fast := RegistrarOptions{Audit: 100 * time.Millisecond, contest: 300 * time.Millisecond}
	one := register(t, ClientConfig{Servers: e.Servers()}, fast, g)
	one.await("the first", inPlace(1))
	stop := o.follow(r + "/A")
	two := register(t, ClientConfig{Servers: e.Servers()}, fast, g)
	one.await("the first sees it", func(st RegistrarStats) bool {
		return st.Contested == 1 && strings.Contains(st.Problem, errContested.Error())
	})
	both := func() uint64 { return one.Stats().TakenOver + two.Stats().TakenOver }
	for both() < 6 {
		<-time.After(5 * time.Millisecond)
	}
	if n := both(); n > 7 {
		t.Errorf("%d take-overs in no time", n)
	}
	began := time.Now() // by now each waits 1.2 s or more, less a random half
	for n := both(); both() < n+2; {
		<-time.After(5 * time.Millisecond)
	}
	if took := time.Since(began); took < 600*time.Millisecond {
		t.Errorf("two more take-overs after %s: there is no back-off", took)
	}
	two.stop()
	two.client.Close()
	one.await("alone again", func(st RegistrarStats) bool {
		return inPlace(1)(st) && o.owner(r+"/A/10.0.0.5:9090") == one.client.conn.SessionID()
	})
	if lists, empty := stop(); empty > 1 { // when the winner left
		t.Errorf("of %d listings %d were empty", lists, empty)
	}
}
