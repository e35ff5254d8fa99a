package main

import (
	"fmt"
	"io"
	"log"
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
	conn, _, err := zk.Connect([]string{e.Addr(0)}, 4*time.Second, zk.WithLogger(log.New(io.Discard, "", 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return e, conn
}

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

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
