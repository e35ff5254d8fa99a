package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"go.uber.org/goleak"

	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/scripts/zkensemble"
)

// The ensemble that the tests of this package share; each leaves it with three servers up.
var shared struct {
	once sync.Once
	dir  string
	e    *zkensemble.Ensemble
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.e != nil {
		shared.e.Close()
		_ = os.RemoveAll(shared.dir)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	os.Exit(code)
}

func servers(t *testing.T) *zkensemble.Ensemble {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: no ensemble is started")
	}
	if why := zkensemble.Missing(); why != "" {
		t.Skip(why)
	}
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "bellhop-zk-"); shared.err == nil {
			shared.e, shared.err = zkensemble.Start(shared.dir, zkensemble.Options{})
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	t.Cleanup(func() {
		for i := range 3 {
			if shared.e.PID(i) == 0 {
				if err := shared.e.Restart(i); err != nil {
					t.Error(err)
				}
			}
		}
		if err := shared.e.Await(20 * time.Second); err != nil {
			t.Error(err)
		}
	})
	return shared.e
}

// operator is somebody else's session: the one that registers, breaks and looks.
type operator struct {
	*zk.Conn
	t *testing.T
}

func operate(t *testing.T, e *zkensemble.Ensemble) operator {
	t.Helper()
	c, _, err := zk.Connect(strings.Split(e.Servers(), ","), 10*time.Second, zk.WithLogger(silent{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return operator{c, t}
}

type silent struct{}

func (silent) Printf(string, ...any) {}

// put creates a node with its parents; it is there afterwards, also when servers come and go meanwhile.
func (o operator) put(p, data string) {
	o.t.Helper()
	if dir := path.Dir(p); dir != "/" {
		there := false
		o.insist(func() (err error) {
			there, _, err = o.Exists(dir)
			return err
		})
		if !there {
			o.put(dir, "")
		}
	}
	o.insist(func() error {
		_, err := o.Create(p, []byte(data), 0, zk.WorldACL(zk.PermAll))
		if errors.Is(err, zk.ErrNodeExists) {
			return nil
		}
		return err
	})
}

func (o operator) remove(p string) {
	o.t.Helper()
	o.insist(func() error { return o.Delete(p, -1) })
}

func (o operator) insist(f func() error) {
	o.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || !errors.Is(err, zk.ErrConnectionClosed) && !errors.Is(err, zk.ErrNoServer) && !errors.Is(err, zk.ErrSessionExpired) {
			o.t.Fatal(err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// root is a part of the tree that this test has for itself.
func root(t *testing.T) string { return "/" + strings.ReplaceAll(t.Name(), "/", "-") }

// watcher runs a source and keeps what it publishes.
type watcher struct {
	*Source
	client *Client
	t      *testing.T
	mu     sync.Mutex
	last   *registry.Update
	all    []registry.Update
	news   chan struct{}
	none   chan string // names told to be unknown
}

func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func watch(t *testing.T, cc ClientConfig, o Options) *watcher {
	t.Helper()
	cc.Log, o.Log = testLog(t), testLog(t)
	c, err := NewClient(cc)
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{client: c, t: t, news: make(chan struct{}, 1), none: make(chan string, 1000)}
	w.Source = New(c, o, func(s string) { w.none <- s })
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { _ = w.Run(ctx, w.take) })
	t.Cleanup(func() {
		cancel()
		done.Wait()
		c.Close()
	})
	return w
}

func (w *watcher) take(u registry.Update) {
	w.mu.Lock()
	w.last = &u
	w.all = append(w.all, u)
	w.mu.Unlock()
	ring(w.news)
}

// await waits until what was published last is as it should be.
func (w *watcher) await(what string, ok func(registry.Update) bool) {
	w.t.Helper()
	w.awaitFor(20*time.Second, what, ok)
}

func (w *watcher) awaitFor(within time.Duration, what string, ok func(registry.Update) bool) {
	w.t.Helper()
	deadline := time.After(within)
	for {
		w.mu.Lock()
		last := w.last
		w.mu.Unlock()
		if last != nil && ok(*last) {
			return
		}
		select {
		case <-w.news:
		case <-time.After(20 * time.Millisecond): // what is awaited may be no news
		case <-deadline:
			w.t.Fatalf("%s: not within %s; the last update is %+v, stats %+v", what, within, last, w.Stats())
		}
	}
}

// has is a service with exactly these addresses.
func has(name string, addrs ...string) func(registry.Update) bool {
	return func(u registry.Update) bool {
		s := u.Services[name]
		if s == nil {
			return false
		}
		var got []string
		for _, e := range s.Endpoints {
			got = append(got, e.Addr)
		}
		slices.Sort(got)
		return slices.Equal(got, addrs)
	}
}

// TestDiscovery: a name that is wanted is looked up, watched, and followed; one that is not there is remembered as such.
func TestDiscovery(t *testing.T) {
	e := servers(t)
	o, r := operate(t, e), root(t)
	o.put(r+"/services/A/10.0.0.1:1", `{"weight":5,"zone":"z"}`)
	o.put(r+"/services/Other/10.9.9.9:1", "")
	o.put(r+"/remotes/10.0.0.7:7300", `{"zone":"a"}`)
	w := watch(t, ClientConfig{Servers: e.Servers() + r}, Options{Path: "/services/{service}", Remotes: "/remotes", Unknown: time.Hour})
	w.await("remote proxies", func(u registry.Update) bool {
		return len(u.Services) == 0 && len(u.Remotes) == 1 && u.Remotes[0] == registry.Remote{Addr: "10.0.0.7:7300", Zone: "a"}
	})
	if !w.Want("A") {
		t.Fatal("A is not looked up")
	}
	w.await("A", has("A", "10.0.0.1:1"))
	if s := w.last.Services["A"].Endpoints[0]; s.Weight != 5 || s.Zone != "z" {
		t.Errorf("got %+v", s)
	}
	if w.last.Services["Other"] != nil {
		t.Error("a service that nobody uses is watched")
	}
	o.put(r+"/services/A/10.0.0.2:1", "")
	w.await("one more", has("A", "10.0.0.1:1", "10.0.0.2:1"))
	o.remove(r + "/services/A/10.0.0.1:1")
	w.await("one less", has("A", "10.0.0.2:1"))

	if !w.Want("B") {
		t.Fatal("B is not looked up")
	}
	if got := <-w.none; got != "B" {
		t.Fatalf("%s is unknown", got)
	}
	if w.Want("B") {
		t.Error("B is looked up again, within the time that it is remembered as unknown")
	}
	for _, bad := range []string{"", "..", "a/b", "a b", "a\x00", strings.Repeat("x", 256), "ä"} {
		if w.Want(bad) {
			t.Errorf("%q became a path", bad)
		}
	}
	o.remove(r + "/services/A/10.0.0.2:1")
	w.await("none", has("A"))
	o.remove(r + "/services/A") // in use: its coming back is told
	o.put(r+"/services/A/10.0.0.3:1", "")
	w.await("back", has("A", "10.0.0.3:1"))
	if st := w.Stats(); st.Watched != 1 || st.Unknown != 1 || st.Refused != 7 || st.KnownUnknown != 1 || !st.Connected || st.Corrected != 0 {
		t.Errorf("stats: %+v", st)
	}
}

// TestRecreated: a node that was removed and created again between two listings is read again: its data may be new.
func TestRecreated(t *testing.T) {
	e := servers(t)
	o, r := operate(t, e), root(t)
	o.put(r+"/A/10.0.0.1:1", `{"zone":"old"}`)
	o.put(r+"/A/10.0.0.2:1", `{"zone":"same"}`)
	w := watch(t, ClientConfig{Servers: e.Servers()}, Options{Path: r + "/{service}", Services: []string{"A"}})
	w.await("A", has("A", "10.0.0.1:1", "10.0.0.2:1"))
	_, err := o.Multi(&zk.DeleteRequest{Path: r + "/A/10.0.0.1:1", Version: -1},
		&zk.CreateRequest{Path: r + "/A/10.0.0.1:1", Data: []byte(`{"zone":"new"}`), Acl: zk.WorldACL(zk.PermAll)})
	if err != nil {
		t.Fatal(err)
	}
	w.await("the new data", func(u registry.Update) bool {
		return u.Services["A"].Endpoints[0].Zone == "new" || u.Services["A"].Endpoints[1].Zone == "new"
	})
}

// TestUsedAgain: what was in use is known to the next process before the first call, and the first update is whole.
func TestUsedAgain(t *testing.T) {
	e := servers(t)
	o, r := operate(t, e), root(t)
	file := t.TempDir() + "/used.json"
	for _, s := range []string{"A", "B", "C"} {
		o.put(r+"/"+s+"/10.0.0.1:1", "")
	}
	t.Run("first", func(t *testing.T) {
		w := watch(t, ClientConfig{Servers: e.Servers()}, Options{Path: r + "/{service}", UsedFile: file, Services: []string{"C"}})
		w.Want("A")
		w.Want("B")
		w.Want("nothing")
		w.await("B", has("B", "10.0.0.1:1"))
		w.await("A", has("A", "10.0.0.1:1"))
	})
	w := watch(t, ClientConfig{Servers: e.Servers()}, Options{Path: r + "/{service}", UsedFile: file})
	<-w.news
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.last.Services) != 2 || w.last.Services["A"] == nil || w.last.Services["B"] == nil {
		t.Errorf("the first update is %+v", w.last)
	}
	if b, err := os.ReadFile(file); err != nil || strings.Contains(string(b), "nothing") {
		t.Errorf("%s %v", b, err)
	}
}

// TestHostile: what is no instance is left out and the rest works: names that are no addresses, data that is too long.
func TestHostile(t *testing.T) {
	e := servers(t)
	o, r := operate(t, e), root(t)
	o.put(r+"/A/10.0.0.1:1", "")
	for _, name := range []string{"..x", "10.0.0.1", "unix:x", "10.0.0.2:1 ", "%2e%2e:1", "ä:1", strings.Repeat("n", 3000), "{}", "-1:-1"} {
		o.put(r+"/A/"+name, "")
	}
	o.put(r+"/A/10.0.0.3:1", strings.Repeat("x", 900_000)) // more than max_reply
	o.put(r+"/A/10.0.0.4:1", `{"weight":`)
	o.put(r+"/A/10.0.0.5:1", strings.Repeat(" ", 100_000))
	o.put(r+"/Long/10.0.0.1:1", "")
	for i := range 600 { // a list of more than max_reply
		o.put(fmt.Sprintf("%s/Long/%s%d", r, strings.Repeat("n", 1000), i), "")
	}
	w := watch(t, ClientConfig{Servers: e.Servers(), MaxReply: 512 << 10}, Options{Path: r + "/{service}", Services: []string{"A"}})
	w.await("A", has("A", "10.0.0.1:1"))
	w.Want("Long")
	if got := <-w.none; got != "Long" {
		t.Fatalf("%s is unknown", got)
	}
	o.put(r+"/A/10.0.0.6:1", "")
	w.await("after it", has("A", "10.0.0.1:1", "10.0.0.6:1"))
	if st := w.Stats(); st.TooLong != 2 || st.Lost != 0 || st.BadNodes != 12 {
		t.Errorf("one reply costs that request alone: %+v", st)
	}
}

// TestNames: when no known address serves, the names are resolved again.
func TestNames(t *testing.T) {
	e := servers(t)
	o, r := operate(t, e), root(t)
	o.put(r+"/A/10.0.0.1:1", "")
	host, port, err := net.SplitHostPort(e.Addr(1))
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	h := &hosts{
		names: []string{"zk.example:" + port}, pause: func(time.Duration) {}, problem: func(error) {},
		resolve: func(context.Context, string) ([]string, error) {
			if asked++; asked < 3 {
				return []string{"127.0.0.2"}, nil // where no server is
			}
			return []string{host}, nil
		},
	}
	c, _, err := zk.Connect([]string{"ignored"}, time.Second, zk.WithHostProvider(h), zk.WithLogger(silent{}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for { // requests that waited fail when every address has failed
		list, _, err := c.Children(r)
		if err == nil && len(list) == 1 {
			return
		}
		if !errors.Is(err, zk.ErrNoServer) {
			t.Fatal(list, err)
		}
	}
}
