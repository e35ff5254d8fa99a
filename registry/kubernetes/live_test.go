package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/scripts/kubeapi"
)

var (
	apiOnce sync.Once
	api     *kubeapi.API
	apiDir  string
	apiErr  error
)

func TestMain(m *testing.M) {
	if kubeconfig := os.Getenv(loadChild); kubeconfig != "" {
		load(kubeconfig)
		return
	}
	code := m.Run()
	if api != nil {
		api.Close()
	}
	if apiDir != "" {
		os.RemoveAll(apiDir)
	}
	if code == 0 {
		// klog flushes the files that it might have from a goroutine without an end.
		if err := goleak.Find(goleak.IgnoreTopFunction("k8s.io/klog/v2.(*flushDaemon).run.func1")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// cluster is the one API of all tests here; those that stop it start it again.
func cluster(t *testing.T) *kubeapi.API {
	t.Helper()
	if testing.Short() {
		t.Skip("an API server is no short test")
	}
	if m := kubeapi.Missing(); m != "" {
		t.Skip(m)
	}
	apiOnce.Do(func() {
		if apiDir, apiErr = os.MkdirTemp("", "kubeapi"); apiErr == nil {
			api, apiErr = kubeapi.Start(apiDir, kubeapi.Options{Users: []kubeapi.User{{Name: "nobody"}}, Controllers: []string{"endpointslice-controller"}})
		}
	})
	if apiErr != nil {
		t.Fatal(apiErr)
	}
	return api
}

// operator changes the cluster as admin.
type operator struct {
	*kubeapi.API
	t *testing.T
}

func (o operator) do(method, path, body string, args ...any) []byte {
	o.t.Helper()
	out, err := o.Do(method, path, fmt.Sprintf(body, args...))
	if err != nil {
		o.t.Fatal(err)
	}
	return out
}

// namespace makes one for a test.
func (o operator) namespace() string {
	n := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(o.t.Name()))
	o.do("POST", "/api/v1/namespaces", `{"metadata":{"name":%q}}`, n)
	return n
}

const enabled = `"labels":{"bellhop.dev/enabled":"true"}`

func (o operator) service(ns, name, annotations string) {
	o.t.Helper()
	o.do("POST", "/api/v1/namespaces/"+ns+"/services", `{"metadata":{"name":%q,%s,"annotations":{%s}},"spec":{"clusterIP":"None","ports":[{"name":"thrift","port":9090}]}}`, name, enabled, annotations)
}

// slice sets a slice of a Service: each endpoint is its address, ready.
func (o operator) slice(method, ns, service, name string, addrs ...string) {
	o.t.Helper()
	var list []string
	for _, a := range addrs {
		list = append(list, fmt.Sprintf(`{"addresses":[%q],"conditions":{"ready":true},"nodeName":"n1","zone":"z1","targetRef":{"kind":"Pod","namespace":%q,"name":"p","uid":"uid-%s"}}`, a, ns, a))
	}
	path := "/apis/discovery.k8s.io/v1/namespaces/" + ns + "/endpointslices"
	if method == "PUT" {
		path += "/" + name
	}
	o.do(method, path, `{"metadata":{"name":%q,"labels":{"bellhop.dev/enabled":"true","kubernetes.io/service-name":%q}},"addressType":"IPv4","ports":[{"name":"thrift","port":9090}],"endpoints":[%s]}`,
		name, service, strings.Join(list, ","))
}

// watcher is a source under test and what it publishes.
type watcher struct {
	*Source
	t    *testing.T
	mu   sync.Mutex
	last *registry.Update
	news chan struct{}
}

func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func connect(t *testing.T, kubeconfig string) *Client {
	t.Helper()
	c, err := NewClient(ClientConfig{Kubeconfig: kubeconfig, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// running runs f until the test ends.
func running(t *testing.T, f func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := f(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); done.Wait() })
}

func follow(t *testing.T, kubeconfig string, o Options) *watcher {
	t.Helper()
	c := connect(t, kubeconfig)
	o.Log = testLog(t)
	s, err := New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{Source: s, t: t, news: make(chan struct{}, 1)}
	running(t, func(ctx context.Context) error { return w.Run(ctx, w.take) })
	return w
}

func (w *watcher) take(u registry.Update) {
	w.mu.Lock()
	w.last = &u
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// await waits until what was published last is as it should be, and returns it.
func (w *watcher) await(what string, ok func(registry.Update) bool) registry.Update {
	w.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		w.mu.Lock()
		last := w.last
		w.mu.Unlock()
		if last != nil && ok(*last) {
			return *last
		}
		select {
		case <-w.news:
		case <-deadline:
			w.t.Fatalf("%s: not within 30 s; the last update is %+v, stats %+v", what, last, w.Stats())
		}
	}
}

// has is a service with exactly these addresses.
func has(name string, addrs ...string) func(registry.Update) bool {
	return func(u registry.Update) bool {
		return u.Services[name] != nil && slices.Equal(addresses(u, name), addrs)
	}
}

func addresses(u registry.Update, name string) []string {
	var got []string
	if s := u.Services[name]; s != nil {
		for i := range s.Endpoints {
			got = append(got, s.Endpoints[i].Addr)
		}
	}
	return got
}

// TestLifeOfAService: Services and slices are followed, and what was told to be gone is said to be.
func TestLifeOfAService(t *testing.T) {
	o := operator{cluster(t), t}
	ns := o.namespace()
	o.service(ns, "hello", `"bellhop.dev/service":"com.demo.Hello","bellhop.dev/timeout":"2s","bellhop.dev/framing":"framed-compact"`)
	o.slice("POST", ns, "hello", "hello-1", "10.0.0.1", "10.0.0.2")
	o.do("POST", "/api/v1/namespaces/"+ns+"/services", `{"metadata":{"name":"other"},"spec":{"ports":[{"port":1}]}}`) // without the label
	w := follow(t, o.Kubeconfig("admin"), Options{Namespaces: []string{ns}})
	const hello = "com.demo.Hello"
	u := w.await("the first update", has(hello, "10.0.0.1:9090", "10.0.0.2:9090"))
	if len(u.Services) != 1 || u.Final[hello] {
		t.Errorf("the first update: %d services, final %v; want one, which is not final", len(u.Services), u.Final)
	}
	s := u.Services[hello]
	want := registry.Endpoint{Addr: "10.0.0.1:9090", Zone: "z1", Host: "n1", Owner: "uid-10.0.0.1"}
	if e := s.Endpoints[0]; s.Timeout != 2*time.Second || s.Framing != "framed-compact" || e.Addr != want.Addr || e.Zone != want.Zone || e.Host != want.Host || e.Owner != want.Owner {
		t.Errorf("got %+v", s)
	}
	if at := w.Checked(hello); time.Since(at) > time.Minute {
		t.Errorf("checked at %v", at)
	}

	started := time.Now()
	o.slice("PUT", ns, "hello", "hello-1", "10.0.0.1", "10.0.0.3")
	u = w.await("one out, one in", has(hello, "10.0.0.1:9090", "10.0.0.3:9090"))
	t.Logf("a changed slice is published after %s", time.Since(started).Round(time.Millisecond))
	if !u.Final[hello] {
		t.Error("its slice does not name 10.0.0.2 any more, and it is not said to be gone")
	}
	o.slice("POST", ns, "hello", "hello-2", "10.0.0.4")
	w.await("a second slice", has(hello, "10.0.0.1:9090", "10.0.0.3:9090", "10.0.0.4:9090"))
	o.do("DELETE", "/apis/discovery.k8s.io/v1/namespaces/"+ns+"/endpointslices/hello-2", "")
	if u = w.await("without it", has(hello, "10.0.0.1:9090", "10.0.0.3:9090")); u.Final[hello] {
		t.Error("a slice vanished while its Service stands, and its endpoints are said to be gone")
	}
	o.slice("PUT", ns, "hello", "hello-1") // scaled to nothing
	if u = w.await("none", has(hello)); !u.Final[hello] {
		t.Error("it was scaled to nothing, and is not final")
	}
	o.slice("PUT", ns, "hello", "hello-1", "10.0.0.9")
	w.await("one again", has(hello, "10.0.0.9:9090"))
	o.do("DELETE", "/api/v1/namespaces/"+ns+"/services/hello", "")
	u = w.await("deleted", func(u registry.Update) bool { return u.Services[hello] == nil })
	if !u.Final[hello] {
		t.Error("its Service was deleted, and it is not final")
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func documents(t *testing.T, c *Client, ns, name string) chan registry.Document {
	t.Helper()
	d, err := NewDocument(c, DocumentOptions{Namespace: ns, Name: name, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	docs := make(chan registry.Document, 100)
	running(t, func(ctx context.Context) error {
		return d.Run(ctx, func(d registry.Document) { docs <- d })
	})
	return docs
}

// TestDocument: one ConfigMap, from nothing to nothing.
func TestDocument(t *testing.T) {
	o := operator{cluster(t), t}
	ns := o.namespace()
	docs := documents(t, connect(t, o.Kubeconfig("admin")), ns, "rules")
	next := func(want string, none bool) {
		t.Helper()
		select {
		case d := <-docs:
			if string(d.Data) != want || (d.Data == nil) != none || d.From != "ConfigMap "+ns+"/rules, key rules.yaml" {
				t.Errorf("got %+v, want %q", d, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no document; want %q", want)
		}
	}
	next("", true)
	maps := "/api/v1/namespaces/" + ns + "/configmaps"
	o.do("POST", maps, `{"metadata":{"name":"rules"},"data":{"rules.yaml":"one"}}`)
	next("one", false)
	o.do("POST", maps, `{"metadata":{"name":"another"},"data":{"rules.yaml":"not ours"}}`)
	o.do("PUT", maps+"/rules", `{"metadata":{"name":"rules"},"data":{"rules.yaml":"%s"}}`, strings.Repeat("x", registry.MaxDocument+1))
	o.do("PUT", maps+"/rules", `{"metadata":{"name":"rules"},"binaryData":{"rules.yaml":"dHdv"}}`)
	next("two", false) // what was too long is not published
	o.do("PUT", maps+"/rules", `{"metadata":{"name":"rules"},"data":{"rules.yaml":""}}`)
	next("", false)
	o.do("PUT", maps+"/rules", `{"metadata":{"name":"rules"},"data":{"another.yaml":"x"}}`)
	next("", true)
	o.do("DELETE", maps+"/rules", "")
	next("", true)
}

// TestPodsOfThisNode: only they are watched, and known by their address while they have it.
func TestPodsOfThisNode(t *testing.T) {
	o := operator{cluster(t), t}
	ns := o.namespace()
	o.do("POST", "/api/v1/namespaces/"+ns+"/serviceaccounts", `{"metadata":{"name":"default"}}`)
	path := "/api/v1/namespaces/" + ns + "/pods"
	pod := func(name, node, ip, more string) string {
		t.Helper()
		var made struct{ Metadata struct{ UID string } }
		out := o.do("POST", path, `{"metadata":{"name":%q,"labels":{"pod-template-hash":"abc"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"shop-abc","uid":"u","controller":true}]},
			"spec":{"nodeName":%q,"containers":[{"name":"c","image":"i"}]%s}}`, name, node, more)
		if err := json.Unmarshal(out, &made); err != nil {
			t.Fatal(err)
		}
		o.do("PATCH", path+"/"+name+"/status", `{"status":{"phase":"Running","podIP":%q,"podIPs":[{"ip":%q}]}}`, ip, ip)
		return made.Metadata.UID
	}
	uid := pod("a", "n1", "10.1.0.1", "")
	pod("b", "n2", "10.1.0.2", "")
	pod("host", "n1", "10.1.0.3", `,"hostNetwork":true`)
	pods, err := NewPods(connect(t, o.Kubeconfig("admin")), PodsOptions{Node: "n1", Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	running(t, pods.Run)
	eventually(t, "synced", pods.Synced)
	want := Pod{UID: uid, Namespace: ns, Name: "a", Workload: ns + "/shop"}
	if p, ok := pods.PodByIP(netip.MustParseAddr("::ffff:10.1.0.1")); !ok || p != want {
		t.Errorf("by address: %+v %v", p, ok)
	}
	if p, ok := pods.PodByUID(uid); !ok || p != want {
		t.Errorf("by UID: %+v %v", p, ok)
	}
	known := func(ip string) bool { _, ok := pods.PodByIP(netip.MustParseAddr(ip)); return ok }
	if known("10.1.0.2") || known("10.1.0.3") || pods.Stats().Pods != 2 {
		t.Errorf("a pod of another node, or with this one's network, is known by address: %+v", pods.Stats())
	}
	pod("c", "n1", "10.1.0.4", "")
	eventually(t, "a new pod", func() bool { return known("10.1.0.4") })
	o.do("PATCH", path+"/c/status", `{"status":{"phase":"Succeeded"}}`)
	eventually(t, "a finished pod", func() bool { return !known("10.1.0.4") })
	o.do("DELETE", path+"/a", `{"gracePeriodSeconds":0}`)
	eventually(t, "a deleted pod", func() bool { return !known("10.1.0.1") })
}
