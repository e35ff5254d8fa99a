package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestHold: every connection has made its call and stays until the end.
func TestHold(t *testing.T) {
	path := startServer(t, serveOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- hold(ctx, holdOptions{target: "unix:" + path, connections: 20, service: "S", services: 3, method: "echo", framing: "framed-binary"}, w)
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil || line != "holding 20\n" {
		t.Errorf("%q, %v", line, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, o := range []holdOptions{{target: "nowhere"}, {target: "unix:/x", connections: 1}, {target: "tcp:127.0.0.1:1", connections: 1, services: 1, uids: "5-6"}} {
		if err := hold(context.Background(), o, io.Discard); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestNameOf(t *testing.T) {
	for _, c := range []struct {
		services, i, n int
		want           string
	}{{1, 5, 64, "s"}, {10, 13, 64, "s3"}, {2000, 0, 64, "s0"}, {2000, 63, 64, "s1968"}} {
		if got := nameOf("s", c.services, c.i, c.n); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// TestUsers: the kernel tells the server the user that was asked for, and the thread is root's again.
func TestUsers(t *testing.T) {
	if _, err := parseUsers("7-6", address{"unix", "x"}); err == nil {
		t.Error("7-6 was taken")
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can connect as somebody else")
	}
	dir, err := os.MkdirTemp("", "users-") // not t.TempDir: other users must get to it
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, p := range []struct {
		path string
		mode os.FileMode
	}{{dir, 0o711}, {path, 0o666}} {
		if err := os.Chmod(p.path, p.mode); err != nil {
			t.Fatal(err)
		}
	}
	who, err := parseUsers("100000-100001", address{"unix", path})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []uint32{100000, 100001, 100000} {
		c, err := who.dial(context.Background(), address{"unix", path}, i)
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := s.(*net.UnixConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var cred *unix.Ucred
		if err := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
			t.Fatal(err)
		}
		if cred == nil || cred.Uid != want || os.Geteuid() != 0 {
			t.Errorf("connection %d: %+v, want %d; now %d", i, cred, want, os.Geteuid())
		}
		c.Close()
		s.Close()
	}
}

// TestPhases: a call counts where it was to start, however late it ends.
func TestPhases(t *testing.T) {
	var p phases
	p.signals = make(chan os.Signal, 1)
	p.signals <- syscall.SIGUSR1
	p.tick(time.Second) // before the measuring: nothing to cut
	if len(p.list) != 0 {
		t.Fatalf("%d parts", len(p.list))
	}
	p.next(2 * time.Second)
	p.record(2*time.Second, 10)
	p.signals <- syscall.SIGUSR1
	p.tick(3 * time.Second)
	p.record(2999*time.Millisecond, 5000)
	p.record(3*time.Second, 20)
	p.record(time.Second, 30) // begun while it warmed up, ended while it is measured
	got := p.report(5 * time.Second)
	if len(got) != 2 || got[0].Calls != 3 || got[1].Calls != 1 || got[0].Seconds != 1 || got[1].Seconds != 2 || got[1].Latency.Max != 20 || got[0].Latency.Max < 5000 {
		t.Errorf("%+v", got)
	}
}

// TestLoopback: any address of 127.0.0.0/8 leads to the one listener.
func TestLoopback(t *testing.T) {
	a, err := parseListen("loopback:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := listen(a)
	if err != nil {
		t.Skipf("this kernel does not let us bind to a device: %v", err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, ip := range []string{"127.0.0.1", "127.1.2.3"} {
		c, err := net.Dial("tcp", net.JoinHostPort(ip, port))
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	if _, err := parseListen("loopback"); err == nil || !strings.Contains(err.Error(), `"loopback"`) {
		t.Errorf("got %v", err)
	}
}
