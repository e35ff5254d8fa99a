package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"golang.org/x/sys/unix"

	"github.com/bellhop-mesh/bellhop/registry"
)

// TestMain runs the test binary as another process where a test asks for one.
func TestMain(m *testing.M) {
	switch os.Getenv("BELLHOP_TEST_CHILD") {
	case "":
		os.Exit(m.Run())
	case "echo":
		childEcho()
	case "proxy":
		childProxy()
	}
}

// child starts this binary as another process and returns the address that it prints.
func child(t *testing.T, kind string) (*exec.Cmd, io.WriteCloser, *bufio.Reader, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0]) //nolint:gosec // the test binary itself
	cmd.Env = append(os.Environ(), "BELLHOP_TEST_CHILD="+kind)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	out := bufio.NewReader(pipe)
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return cmd, in, out, strings.TrimSpace(line)
}

// childEcho serves until its standard input ends.
func childEcho() {
	s, err := thrift.NewTServerSocket("127.0.0.1:0")
	if err == nil {
		err = s.Listen()
	}
	if err != nil {
		panic(err)
	}
	server := thrift.NewTSimpleServer4(&echo{}, s, framed(), binary())
	server.SetLogContext(context.Background())
	go func() { _ = server.AcceptLoop() }()
	fmt.Println(s.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// childProxy is a proxy with few descriptors. A line on its standard input has it print its callers' connections.
func childProxy() {
	p, addr, err := launch(1, nil, &registry.Service{Name: "Echo", Timeout: 10 * time.Second, Endpoints: []registry.Endpoint{{Addr: os.Getenv("BELLHOP_TEST_SERVER")}}})
	if err == nil {
		err = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 40, Max: 40})
	}
	if err != nil {
		panic(err)
	}
	fmt.Println(addr)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		s, err := p.Stats(context.Background())
		if err != nil {
			panic(err)
		}
		fmt.Println(s.CallerConns, s.Counters["accept_errors"] > 0)
	}
}

// TestOutOfDescriptors: with no descriptor left the loop goes on, who is in is served, and afterwards nothing is missing.
func TestOutOfDescriptors(t *testing.T) {
	t.Setenv("BELLHOP_TEST_SERVER", serve(t, &echo{}, framed(), binary()))
	_, in, out, addr := child(t, "proxy")
	first := dial(t, addr, "Echo", framed(), binary())
	callMany(t, first, 1, 3)
	var many []*net.TCPConn
	for range 100 {
		many = append(many, connect(t, addr))
	}
	ask := func() (conns int, errs bool) {
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Fatal(err)
		}
		line, err := out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(line, &conns, &errs); err != nil {
			t.Fatal(err)
		}
		return conns, errs
	}
	for _, errs := ask(); !errs; _, errs = ask() {
		callMany(t, first, 2, 1)
	}
	callMany(t, first, 3, 20)
	for _, c := range many {
		reset(c)
	}
	for n, _ := ask(); n != 1; n, _ = ask() {
		callMany(t, first, 4, 1)
	}
	// Connections that waited in the kernel's queue may still take the last descriptors: then a new one is closed, not
	// lost for good.
	for tries := 0; ; tries++ {
		var r text
		_, err := dial(t, addr, "Echo", framed(), binary()).Call(t.Context(), "say", &text{"again"}, &r)
		if err == nil && r.s == "again" {
			break
		}
		if ask(); tries == 1000 {
			t.Fatalf("new callers are not served: %q, %v", r.s, err)
		}
	}
}
