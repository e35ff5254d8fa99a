package kubernetes

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/scripts/kubeapi"
)

// TestServerAway: while the API server is away what is known stands, and afterwards changes are seen.
func TestServerAway(t *testing.T) {
	a := cluster(t)
	o := operator{a, t}
	ns := o.namespace()
	o.service(ns, "hello", "")
	o.slice("POST", ns, "hello", "hello-1", "10.0.0.1", "10.0.0.2")
	w := follow(t, o.Kubeconfig("admin"), Options{Namespaces: []string{ns}})
	name := "hello." + ns
	w.await("the first update", has(name, "10.0.0.1:9090", "10.0.0.2:9090"))
	a.StopServer()
	for w.Stats().Problem == "" { // it has been noticed
		<-time.After(20 * time.Millisecond)
	}
	t.Logf("away: %s", w.Stats().Problem)
	w.mu.Lock()
	if !has(name, "10.0.0.1:9090", "10.0.0.2:9090")(*w.last) || !w.Synced() {
		t.Errorf("without an API server: %+v", w.last)
	}
	w.mu.Unlock()
	before := w.Checked(name)
	if err := a.StartServer(); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	o.slice("PUT", ns, "hello", "hello-1", "10.0.0.2", "10.0.0.3")
	u := w.await("what changed after", has(name, "10.0.0.2:9090", "10.0.0.3:9090"))
	t.Logf("seen %s after the API server came back", time.Since(started).Round(time.Millisecond))
	if !u.Final[name] || !w.Checked(name).After(before) {
		t.Errorf("final %v, checked %v, before %v", u.Final, w.Checked(name), before)
	}
}

// TestServerRestored: an API server that was restored from a backup lists what there was. What it does not know any more is
// not said to be gone.
func TestServerRestored(t *testing.T) {
	cluster(t)
	a, err := kubeapi.Start(t.TempDir(), kubeapi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	o := operator{a, t}
	ns := o.namespace()
	o.service(ns, "hello", "")
	o.slice("POST", ns, "hello", "hello-1", "10.0.0.1")
	if err := a.Backup(); err != nil {
		t.Fatal(err)
	}
	o.slice("PUT", ns, "hello", "hello-1", "10.0.0.1", "10.0.0.2")
	o.service(ns, "late", "")
	o.slice("POST", ns, "late", "late-1", "10.0.0.3")
	w := follow(t, o.Kubeconfig("admin"), Options{})
	hello, late := "hello."+ns, "late."+ns
	w.await("what there is", has(hello, "10.0.0.1:9090", "10.0.0.2:9090"))
	w.await("what came after the backup", has(late, "10.0.0.3:9090"))
	if err := a.Restore(); err != nil {
		t.Fatal(err)
	}
	u := w.await("what there was", has(hello, "10.0.0.1:9090"))
	if u.Final[hello] || u.Final[late] {
		t.Errorf("said to be gone: %v", u.Final)
	}
	if u = w.await("without the late one", func(u registry.Update) bool { return u.Services[late] == nil }); u.Final[late] {
		t.Error("a Service that was made after the backup is said to be gone")
	}
}

// TestNoServer: with nobody there, nothing is published, and the end is not waited for.
func TestNoServer(t *testing.T) {
	file := t.TempDir() + "/kubeconfig"
	if err := os.WriteFile(file, []byte(`{clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}], contexts: [{name: x, context: {cluster: c}}], current-context: x}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(connect(t, file), Options{Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Run(ctx, func(u registry.Update) { t.Errorf("published %+v", u) })
	}()
	eventually(t, "it is noticed", func() bool { return s.Stats().Failures >= 4 }) // two watches, tried again
	if p := s.Stats().Problem; !strings.Contains(p, "connection refused") || !s.Checked("x").IsZero() {
		t.Errorf("problem %q, checked %v", p, s.Checked("x"))
	}
	cancel()
	select {
	case <-ended:
	case <-time.After(2 * time.Second):
		t.Error("it sits out its pause")
	}
}

// Synced is for these tests.
func (w *watcher) Synced() bool { return w.Stats().Synced }
