package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/admin"
	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
	"github.com/bellhop-mesh/bellhop/protocol/osp/osppeer"
)

// TestLocal: from a start to a call, what the tools say of it, and the graceful end.
func TestLocal(t *testing.T) {
	h := newHost(t)
	h.write("services.d/demo.yaml", "services:\n  demo.Echo: {framing: osp, endpoints: ["+echoServer(t, nil)+"]}\n  demo.Empty: {}\n")
	cfg := h.quick("local", "access_log: {sample: 1}")
	p := begin(t, "local", "-c", cfg)
	f := h.await("local", serving)
	if len(f.Local) != 2 || f.Local[0] != (addrfile.Addr{Net: "unix", Addr: "call.sock"}) || f.Remote == nil {
		t.Fatalf("address file: %+v", f)
	}
	c := h.caller("local", f)
	reply, err := c.Call("demo.Echo", "say", argument, 5*time.Second)
	if err != nil || string(reply.Body) != string(argument) {
		t.Fatalf("%+v, %v", reply, err)
	}
	var re *osppeer.RetError
	if _, err := c.Call("demo.Nobody", "say", argument, 5*time.Second); !errors.As(err, &re) || re.Reply.RetCode != "Err-Core-404" {
		t.Fatalf("an unknown service: %v", err)
	}
	if code, text := h.get("local", "/readyz"); code != 200 || text != "ok\n" {
		t.Errorf("readyz: %d %s", code, text)
	}
	if code, text := h.get("local", "/healthz"); code != 200 {
		t.Errorf("healthz: %d %s", code, text)
	}
	t.Run("status", func(t *testing.T) { statusTells(t, h) })
	t.Run("second", func(t *testing.T) {
		code, _, text := once(t, "local", "-c", cfg)
		if code != exitFailed {
			t.Errorf("exit code %d", code)
		}
		mustHave(t, text, "lock is held by pid "+fmt.Sprint(p.cmd.Process.Pid), f.Instance)
	})
	_ = c.Close()
	if code := p.end(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if f := h.await("local", func(f *addrfile.File) bool { return f.State != addrfile.Serving }); f.State != addrfile.Down {
		t.Errorf("at the end the address file says %s", f.State)
	}
	mustHave(t, p.out.String(), "msg=call service=demo.Echo method=say", "code=no_service", "msg=draining", "msg=down")
}

func statusTells(t *testing.T, h *host) {
	code, text, errs := once(t, "status", "--run-dir", h.path("local"), "--window", "10ms")
	if code != exitOK {
		t.Fatalf("%d %s", code, errs)
	}
	mustHave(t, text, "bellhop local", ": serving, up ", "demo.Echo", "demo.Empty        no endpoint", "unix:call.sock", "no_service 1")
	code, text, _ = once(t, "status", "--run-dir", h.path("local"), "--window", "10ms", "--json")
	var s admin.Status
	if err := json.Unmarshal([]byte(text), &s); err != nil || code != exitOK {
		t.Fatalf("%d, %v", code, err)
	}
	if s.State != "serving" || s.Ready != "ok" || len(s.Listeners) != 2 || s.Total.Calls < 2 || s.Total.Failed != 1 || len(s.Sources) == 0 {
		t.Errorf("%+v", s)
	}
	for _, v := range s.Services {
		if v.Name == "demo.Echo" && (v.Calls != 1 || v.P50us == 0 || len(v.Endpoints) != 1 || v.Endpoints[0].Conns != 1) {
			t.Errorf("%+v", v)
		}
	}
}

// TestDefaults: nothing but a run directory; TCP's usual port may be taken here, so it is the file that says 0.
func TestDefaults(t *testing.T) {
	h := newHost(t)
	h.write("local/private/services.d/late.yaml", "services: {demo.Late: {}}\n")
	if err := os.Chmod(h.path("local/private"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := begin(t, "local", "-c", h.write("port.yaml", "listeners: [{net: tcp, addr: \"127.0.0.1:0\"}]\ndrain: {grace: 0s}\n"), "--run-dir", h.path("local"))
	f := h.await("local", serving)
	if f.LeaseMS != 3000 || len(f.Local) != 1 || strings.HasSuffix(f.Local[0].Addr, ":0") {
		t.Errorf("%+v", f)
	}
	_, text := h.get("local", "/clusters")
	mustHave(t, text, "bellhop.selftest")
	_, text = h.get("local", "/status?window=10ms")
	mustHave(t, text, `"registry": "`+h.path("local/private/services.d"), "demo.Late")
	if code := p.end(syscall.SIGINT); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// TestDrainWaits: a call in flight when the signal comes is answered; guests hear of it before.
func TestDrainWaits(t *testing.T) {
	h := newHost(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	addr := echoServer(t, func(string) {
		close(arrived)
		<-release
	})
	h.write("services.d/demo.yaml", "services:\n  demo.Slow: {framing: osp, timeout: 1m, endpoints: ["+addr+"]}\n")
	p := begin(t, "local", "-c", h.quick("local", ""))
	c := h.caller("local", h.await("local", serving))
	result := make(chan error, 1)
	go func() {
		_, err := c.Call("demo.Slow", "say", argument, 0)
		result <- err
	}()
	<-arrived
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	h.await("local", func(f *addrfile.File) bool { return f.State == addrfile.Draining })
	if code, text := h.get("local", "/readyz"); code != 503 || text != "closing\n" {
		t.Errorf("readyz while draining: %d %s", code, text)
	}
	close(release)
	if err := <-result; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	_ = c.Close()
	if code := p.code(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// TestDrainCuts: what does not end in time is cut, and the exit code says so.
func TestDrainCuts(t *testing.T) {
	h := newHost(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	addr := echoServer(t, func(string) {
		close(arrived)
		<-release
	})
	defer close(release)
	h.write("services.d/demo.yaml", "services:\n  demo.Slow: {framing: osp, timeout: 1m, endpoints: ["+addr+"]}\n")
	cfg := h.write("cut.yaml", fmt.Sprintf("run_dir: %s\nlisteners: [{net: unix, addr: call.sock}]\nregistry: {path: %s}\ndrain: {grace: 0s, timeout: 200ms}\n",
		h.path("local"), h.path("services.d")))
	p := begin(t, "local", "-c", cfg)
	c := h.caller("local", h.await("local", serving))
	go func() { _, _ = c.Call("demo.Slow", "say", argument, 0) }() // it is cut
	<-arrived
	if code := p.end(syscall.SIGTERM); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	mustHave(t, p.out.String(), "time is up with 1 calls in flight")
	h.await("local", func(f *addrfile.File) bool { return f.State == addrfile.Down })
}

// TestRegistryEdits: an edit takes effect, a wrong one is told and changes nothing.
func TestRegistryEdits(t *testing.T) {
	h := newHost(t)
	p := begin(t, "local", "-c", h.quick("local", ""))
	c := h.caller("local", h.await("local", serving))
	call := func() error {
		_, err := c.Call("demo.Echo", "say", argument, 5*time.Second)
		return err
	}
	if call() == nil {
		t.Fatal("a service that nobody listed answered")
	}
	h.write("services.d/demo.yaml", "services:\n  demo.Echo: {framing: osp, endpoints: ["+echoServer(t, nil)+"]}\n")
	eventually(t, "the edit takes effect", func() bool { return call() == nil })
	h.write("services.d/demo.yaml", "services:\n  demo.Echo: {framing: osp, endpoints: [nonsense]}\n  bellhop.selftest: {}\n")
	eventually(t, "the wrong edit is told", func() bool { return strings.Contains(p.out.String(), "registry file not taken") })
	mustHave(t, p.out.String(), "demo.yaml:2", "services.demo.Echo.endpoints[0]", "the name bellhop.selftest is this proxy's own")
	if err := call(); err != nil {
		t.Errorf("after the wrong edit: %v", err)
	}
	_, metrics := h.get("local", "/metrics")
	mustHave(t, metrics, "bellhop_registry_file_wrong 1", "bellhop_registry_file_errors_total 1")
	_, text, _ := once(t, "status", "--run-dir", h.path("local"), "--window", "10ms")
	mustHave(t, text, "THE REGISTRY IS WRONG")
}

// TestStartsOnLastKnownGood: with its registry gone, a proxy starts with what it knew.
func TestStartsOnLastKnownGood(t *testing.T) {
	h := newHost(t)
	h.write("services.d/demo.yaml", "services:\n  demo.Echo: {framing: osp, endpoints: ["+echoServer(t, nil)+"]}\n")
	cfg := h.quick("local", "")
	p := begin(t, "local", "-c", cfg)
	h.await("local", serving)
	if code := p.end(syscall.SIGTERM); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	h.write("services.d/demo.yaml", "services: {")
	p = begin(t, "local", "-c", cfg)
	c := h.caller("local", h.await("local", serving))
	if _, err := c.Call("demo.Echo", "say", argument, 5*time.Second); err != nil {
		t.Error(err)
	}
	mustHave(t, p.out.String(), "not every registry has answered; starting with what is known")
}

// TestBoundListener: a listener with a service takes clients that name none, and is not in the address file.
func TestBoundListener(t *testing.T) {
	h := newHost(t)
	h.write("services.d/demo.yaml", "services:\n  demo.Echo: {framing: osp, endpoints: ["+echoServer(t, nil)+"]}\n")
	cfg := h.write("bound.yaml", fmt.Sprintf("run_dir: %s\nlisteners: [{net: unix, addr: echo.sock, service: demo.Echo, mode: \"0600\", owner: \"%d:%d\"}]\nregistry: {path: %s}\n"+
		"drain: {grace: 0s}\n", h.path("local"), os.Getuid(), os.Getgid(), h.path("services.d")))
	begin(t, "local", "-c", cfg)
	if f := h.await("local", serving); len(f.Local) != 0 {
		t.Errorf("%+v", f)
	}
	info, err := os.Stat(h.path("local/pub/echo.sock"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	c := h.caller("local", &addrfile.File{Local: []addrfile.Addr{{Net: "unix", Addr: "echo.sock"}}})
	if _, err := c.Call("", "say", argument, 5*time.Second); err != nil {
		t.Error(err)
	}
}

// TestWrongConfig: everything that is wrong at once, exit code 2.
func TestWrongConfig(t *testing.T) {
	h := newHost(t)
	cfg := h.write("wrong.yaml", "workers: many\nlisteners:\n  - {net: udp}\nregistry: {path: /nowhere}\n")
	for _, cmd := range [][]string{{"local", "-c", cfg}, {"check", "-c", cfg}} {
		code, _, text := once(t, cmd...)
		if code != exitUsage {
			t.Errorf("%v: exit code %d", cmd, code)
		}
		mustHave(t, text, "wrong.yaml:1: workers: ", "wrong.yaml:3: listeners[0].net: ", "wrong.yaml:3: listeners[0].addr: ")
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"local", "-c", h.path("none.yaml")}, "none.yaml: can't be opened: no such file or directory"},
		{[]string{"locl"}, `unknown command "locl"; did you mean local?`},
		{[]string{"local", "--nonsense"}, "unknown flag: --nonsense; see bellhop local --help"},
		{[]string{"local", "more"}, `see bellhop local --help`},
		{[]string{"check", "--role", "x"}, `--role "x": write local or remote`},
		{[]string{"status", "--window", "1m"}, "write a duration up to 10s"},
		{[]string{"check", "-c", h.write("token.yaml", "handoff: {token_file: /nowhere}\nregistry: {path: /nowhere}\n")}, "handoff.token_file: open /nowhere"},
		{[]string{"check", "--registry", h.path("none.d")}, "none.d: does not exist"},
		{[]string{"local", "--run-dir", h.path("r"), "-c", h.write("token.yaml", "handoff: {token_file: /nowhere}\n")}, "handoff.token_file: open /nowhere"},
	} {
		code, _, text := once(t, c.args...)
		if code != exitUsage {
			t.Errorf("%v: exit code %d", c.args, code)
		}
		mustHave(t, text, c.want)
	}
}

func TestToolsThatFail(t *testing.T) {
	h := newHost(t)
	code, _, text := once(t, "status", "--run-dir", h.path("none"))
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	mustHave(t, text, "no answer from the admin side unix:"+h.path("none/private/admin.sock"))
}

func TestVersionAndCheck(t *testing.T) {
	code, text, _ := once(t, "version", "--json")
	var v versionJSON
	if err := json.Unmarshal([]byte(text), &v); err != nil || code != exitOK || v.Version == "" || v.Go == "" {
		t.Errorf("%d %s", code, text)
	}
	h := newHost(t)
	h.write("services.d/demo.yaml", "services:\n  demo.Echo: {endpoints: [127.0.0.1:1]}\nremotes: [127.0.0.1:2]\n")
	code, text, errs := once(t, "check", "-c", h.quick("local", ""))
	if code != exitOK {
		t.Errorf("%d %s", code, errs)
	}
	mustHave(t, text, "ok: ", "1 services, 1 endpoints, 1 remote proxies")
	if found, err := filepath.Glob(h.path("local")); err != nil || len(found) > 0 {
		t.Errorf("a check made %q (%v)", found, err)
	}
}

// TestHelp: every command has an example.
func TestHelp(t *testing.T) {
	commands := newRoot().Commands()
	commands = append(commands, newRules().Commands()...)
	commands = append(commands, newBreaker().Commands()...)
	for _, c := range commands {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		if c.Example == "" || c.Short == "" {
			t.Errorf("bellhop %s --help shows no example", c.Name())
		}
	}
}

// eventually looks again until it is true: another process makes it so.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.After(patience)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !f() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// gone reports whether a file is not there.
func gone(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}
