package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/bellhop-mesh/bellhop/scripts/zkensemble"
)

// ensemble runs one real server until the test ends, and returns it with a session of the test's own.
func ensemble(t *testing.T, h *host) (*zkensemble.Ensemble, *zk.Conn) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: no ensemble is started")
	}
	if why := zkensemble.Missing(); why != "" {
		t.Skip(why)
	}
	dir := h.path("zk")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	e, err := zkensemble.Start(dir, zkensemble.Options{Servers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	conn, _, err := zk.Connect([]string{e.Addr(0)}, 4*time.Second, zk.WithLogger(silent{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return e, conn
}

// silent takes the client library's lines: that a server ends is what these tests are about.
type silent struct{}

func (silent) Printf(string, ...any) {}

// put creates a node with its parents.
func put(t *testing.T, conn *zk.Conn, path, data string) {
	t.Helper()
	parts := strings.Split(path[1:], "/")
	for i := range parts {
		content := ""
		if i == len(parts)-1 {
			content = data
		}
		if _, err := conn.Create("/"+strings.Join(parts[:i+1], "/"), []byte(content), 0, zk.WorldACL(zk.PermAll)); err != nil && err != zk.ErrNodeExists {
			t.Fatalf("%s: %v", path, err)
		}
	}
}

// TestZooKeeper: services come from an ensemble, the first call of an unknown one waits for its look-up, and a proxy that
// starts while the ensemble is down serves what was known.
func TestZooKeeper(t *testing.T) {
	h := newHost(t)
	e, conn := ensemble(t, h)
	put(t, conn, "/shop/bellhop/services/demo.Echo/"+echoServer(t, nil), `{"framing":"osp"}`)
	put(t, conn, "/shop/bellhop/remotes/127.0.0.1:7399", "")
	cfg := h.quick("local", "")
	h.write("local.yaml", strings.Replace(read(t, cfg), "registry: {path: "+h.path("services.d")+"}",
		fmt.Sprintf("registry: {path: %s, zookeeper: [{name: main, servers: \"%s/shop\", session: 4s, unknown: 200ms}]}", h.path("services.d"), e.Addr(0)), 1))
	p := begin(t, "local", "-c", cfg)
	c := h.caller("local", h.await("local", hasRemote))
	if _, err := c.Call("demo.Echo", "say", argument, 5*time.Second); err != nil {
		t.Errorf("the first call: %v", err)
	}
	if _, err := c.Call("demo.Nowhere", "say", argument, 5*time.Second); err == nil || !strings.Contains(err.Error(), "demo.Nowhere") {
		t.Errorf("a service that is nowhere: %v", err)
	}
	put(t, conn, "/shop/bellhop/services/demo.Nowhere/"+echoServer(t, nil), `{"framing":"osp"}`)
	eventually(t, "a service is found that was not there", func() bool {
		_, err := c.Call("demo.Nowhere", "say", argument, 5*time.Second)
		return err == nil
	})
	_, text := h.get("local", "/metrics")
	metricsAre(t, text, "Metrics of an ensemble", func(name string) bool { return strings.HasPrefix(name, "bellhop_zookeeper_") })
	if code := p.end(syscall.SIGTERM); code != exitOK {
		t.Fatalf("exit code %d", code)
	}

	e.Kill(0)
	started := time.Now()
	begin(t, "local", "-c", cfg)
	c = h.caller("local", h.await("local", serving))
	t.Logf("serving %v after the start, without the ensemble", time.Since(started))
	for _, service := range []string{"demo.Echo", "demo.Nowhere"} {
		if _, err := c.Call(service, "say", argument, 5*time.Second); err != nil {
			t.Errorf("%s, while the ensemble is down: %v", service, err)
		}
	}
	if _, text := h.get("local", "/status?window=10ms"); !strings.Contains(text, `"registry_problem": "main: `) {
		t.Errorf("the status does not tell that the ensemble is down: %s", text)
	}
}

// withEnsemble is a configuration on free ports whose registry is an ensemble.
func (h *host) withEnsemble(role, addr, more string) string {
	return h.write(role+".yaml", fmt.Sprintf("run_dir: %s\nlisteners:\n  - {net: tcp, addr: \"127.0.0.1:0\"}\nregistry:\n  path: %s\n"+
		"  zookeeper: [{servers: \"%s\", session: 4s, audit: 2s}]\ndrain: {grace: 10ms}\naddress_file: {lease: 300ms}\n%s\n",
		h.path(role), h.path("services.d"), addr, more))
}

// TestZooKeeperRegistration: a service that can't register itself is registered while it is healthy, survives the crash of
// the proxy without a gap, and is gone when it is; a remote proxy registers itself and leaves when it drains.
func TestZooKeeperRegistration(t *testing.T) {
	h := newHost(t)
	e, conn := ensemble(t, h)
	const path = "/bellhop/services/demo.Mine"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	children := func(path string) string {
		list, _, err := conn.Children(path)
		if err != nil && err != zk.ErrNoNode {
			t.Fatal(err)
		}
		return strings.Join(list, " ")
	}
	cfg := h.withEnsemble("local", e.Addr(0), fmt.Sprintf("zone: a\nregister: [{service: demo.Mine, addr: \"%s\", version: 1.2.0, interval: 100ms}]", addr))
	p := begin(t, "local", "-c", cfg)
	eventually(t, "the service is registered", func() bool { return children(path) == addr })
	if b, _, err := conn.Get(path + "/" + addr); err != nil || !strings.Contains(string(b), `"1.2.0"`) || !strings.Contains(string(b), `"zone":"a"`) {
		t.Errorf("its node says %q, %v", b, err)
	}
	if code := p.end(syscall.SIGKILL); code == exitOK {
		t.Error("a killed process ended well")
	}
	_, before, err := conn.Get(path + "/" + addr)
	if err != nil {
		t.Fatalf("the registration went with the proxy: %v", err)
	}
	begin(t, "local", "-c", cfg)
	eventually(t, "the new process takes the node over", func() bool {
		_, now, err := conn.Get(path + "/" + addr)
		if err != nil {
			t.Fatalf("the registration was gone for a moment: %v", err)
		}
		return now.EphemeralOwner != before.EphemeralOwner
	})
	h.await("local", serving)
	_, text := h.get("local", "/metrics")
	metricsAre(t, text, "Metrics of registrations", func(name string) bool { return strings.HasPrefix(name, "bellhop_zookeeper_registration") })
	remote := begin(t, "remote", "-c", h.withEnsemble("remote", e.Addr(0), "remote: {register: zookeeper:zookeeper}"))
	eventually(t, "the remote proxy is registered", func() bool { return children("/bellhop/remotes") != "" })
	h.await("local", hasRemote)
	if code := remote.end(syscall.SIGTERM); code != exitOK {
		t.Errorf("the remote proxy: exit code %d", code)
	}
	if left := children("/bellhop/remotes"); left != "" {
		t.Errorf("after its drain the remote proxy is still registered: %s", left)
	}
	_ = l.Close()
	eventually(t, "the service that is gone is taken out", func() bool { return children(path) == "" })
}

// TestZooKeeperRules: rules come from a node; a wrong version is refused, and a right one applies.
func TestZooKeeperRules(t *testing.T) {
	h := newHost(t)
	e, conn := ensemble(t, h)
	put(t, conn, "/bellhop/rules", "version: 1\nservices:\n  demo.Echo: {timeout: 300ms}\n")
	begin(t, "local", "-c", h.withEnsemble("local", e.Addr(0), "rules: {zookeeper: /bellhop/rules}"))
	h.await("local", serving)
	inForce := func() string {
		_, text := h.get("local", "/rules")
		return text
	}
	eventually(t, "the rules are in force", func() bool { return strings.Contains(inForce(), "300ms") })
	set := func(text string) {
		if _, err := conn.Set("/bellhop/rules", []byte(text), -1); err != nil {
			t.Fatal(err)
		}
	}
	set("version: 1\nservices:\n  demo.Echo: {timeout: soon}\n")
	eventually(t, "the wrong rules are refused", func() bool {
		text := inForce()
		return strings.Contains(text, "services.demo.Echo.timeout") && strings.Contains(text, "300ms")
	})
	set("version: 1\nservices:\n  demo.Echo: {timeout: 400ms}\n")
	eventually(t, "the mended rules apply", func() bool { return strings.Contains(inForce(), "400ms") })
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
