package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/osp/osppeer"
)

// The test binary is the program: a child of it that finds asProgram in its environment runs main.
const asProgram = "BELLHOP_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// patience is how long a process may take for anything, on a machine that is busy.
const patience = 30 * time.Second

// program is a running bellhop.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    *output
	exited chan struct{}
}

// output keeps what a process says, for the test to read while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "BELLHOP_RUN_DIR=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// begin starts a process that is ended with the test.
func begin(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{t: t, cmd: command(args...), out: &output{}, exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the code is read from ProcessState
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("%v said:\n%s", args, p.out)
		}
	})
	return p
}

// end sends a signal and returns the exit code.
func (p *program) end(sig os.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	return p.code()
}

func (p *program) code() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("pid %d did not end in %v", p.cmd.Process.Pid, patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

// once runs a command to its end.
func once(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	_ = cmd.Wait() // the code is read from ProcessState
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// host is a temporary directory in which proxies run.
type host struct {
	t   *testing.T
	dir string
}

func newHost(t *testing.T) *host {
	t.Helper()
	dir, err := os.MkdirTemp("", "bellhop") // short: the paths of sockets are
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &host{t: t, dir: dir}
	h.write("services.d/.keep", "")
	return h
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

func (h *host) write(name, content string) string {
	h.t.Helper()
	path := h.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, []byte(content), 0o644); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// quick is a configuration on free ports with a short end.
func (h *host) quick(role, more string) string {
	return h.write(role+".yaml", fmt.Sprintf("run_dir: %s\nlisteners:\n  - {net: unix, addr: call.sock}\n  - {net: tcp, addr: \"127.0.0.1:0\"}\n"+
		"registry: {path: %s}\ndrain: {grace: 10ms}\naddress_file: {lease: 300ms}\n%s\n", h.path(role), h.path("services.d"), more))
}

// await waits until the address file of a role says what good wants.
func (h *host) await(role string, good func(*addrfile.File) bool) *addrfile.File {
	h.t.Helper()
	r := addrfile.NewReader(h.path(role+"/pub/"+addrfile.Name), addrfile.SystemClock())
	eventually(h.t, "the address file of "+role+" changes", func() bool {
		r.Poll()
		f := r.View().File
		return f != nil && good(f)
	})
	return r.View().File
}

func serving(f *addrfile.File) bool { return f.State == addrfile.Serving }

// caller connects to the first address of a file, with OSP.
func (h *host) caller(role string, f *addrfile.File) *osppeer.Client {
	h.t.Helper()
	network, address := f.Local[0].Resolve(h.path(role + "/pub"))
	c, err := osppeer.Dial(network, address, protocol.OSP, protocol.Binary)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	return c
}

// argument is a struct {1: string "bob"} in TBinary.
var argument = []byte("\x0b\x00\x01\x00\x00\x00\x03bob\x00")

// echoServer answers every OSP call with its own argument, until the test ends.
func echoServer(t *testing.T, during func(method string)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &osppeer.Server{Framing: protocol.OSP, Concurrency: 8, Handler: func(method string, args []byte, _ protocol.Payload) ([]byte, string, string) {
		if during != nil {
			during(method)
		}
		return args, "", ""
	}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // nil after Close
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return l.Addr().String()
}

// get asks the admin side of a role.
func (h *host) get(role, path string) (int, string) {
	h.t.Helper()
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", h.path(role+"/private/admin.sock"))
	}}}
	res, err := c.Get("http://bellhop" + path)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// mustHave fails the test when a text lacks one of the parts.
func mustHave(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in:\n%s", p, text)
		}
	}
}
