package osppeer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellhop-mesh/bellhop/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var stop = []byte{0}

// start serves s on a loopback port and connects to it; both end with the test.
func start(t *testing.T, s *Server, p protocol.Payload) *Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c, err := Dial("tcp", l.Addr().String(), s.Framing, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		_ = s.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return c
}

// dialects runs f for both framings in both payloads.
func dialects(t *testing.T, f func(t *testing.T, framing protocol.Framing, p protocol.Payload)) {
	for _, framing := range []protocol.Framing{protocol.OSP, protocol.Dapeng} {
		for _, p := range []protocol.Payload{protocol.Binary, protocol.Compact} {
			t.Run(fmt.Sprintf("%v-%v", framing, p), func(t *testing.T) { f(t, framing, p) })
		}
	}
}

func TestCall(t *testing.T) {
	dialects(t, func(t *testing.T, framing protocol.Framing, p protocol.Payload) {
		s := &Server{Framing: framing, Handler: func(method string, args []byte, q protocol.Payload) ([]byte, string, string) {
			if q != p {
				t.Errorf("the call came in %v", q)
			}
			if method == "fail" {
				return nil, "USER-17", "no such user"
			}
			return args, "", ""
		}}
		c := start(t, s, p)
		c.Caller, c.Version, c.Cookies = "shop", "1.0.0", map[string]string{"uid": "17"}
		reply, err := c.Call("S", "echo", stop, time.Minute)
		if err != nil || !bytes.Equal(reply.Body, stop) || reply.Service != "S" || reply.Method != "echo" || reply.Version != "1.0.0" {
			t.Errorf("echo: %+v, %v", reply, err)
		}
		reply, err = c.Call("S", "fail", stop, 0)
		var ret *RetError
		if !errors.As(err, &ret) || ret.Reply != reply || reply.RetCode != "USER-17" || reply.RetMessage != "no such user" {
			t.Errorf("fail: %+v, %v", reply, err)
		}
		if want := map[protocol.Framing]string{protocol.OSP: "\x00"}[framing]; reply != nil && string(reply.Body) != want {
			t.Errorf("an error reply's body is %x, want %x", reply.Body, want)
		}
		if err := c.Heartbeat(); err != nil {
			t.Error(err)
		}
	})
}

func TestRepliesOvertakeEachOther(t *testing.T) {
	release := make(chan struct{})
	s := &Server{Framing: protocol.OSP, Concurrency: 2, Handler: func(method string, args []byte, _ protocol.Payload) ([]byte, string, string) {
		if method == "slow" {
			<-release
		}
		return args, "", ""
	}}
	c := start(t, s, protocol.Compact)
	slow := make(chan error, 1)
	go func() {
		_, err := c.Call("S", "slow", stop, time.Minute)
		slow <- err
	}()
	if _, err := c.Call("S", "fast", stop, time.Minute); err != nil {
		t.Error(err)
	}
	select {
	case err := <-slow:
		t.Errorf("slow was answered before it was released: %v", err)
	default:
	}
	close(release)
	if err := <-slow; err != nil {
		t.Error(err)
	}
}

func TestManyCallersShareOneConnection(t *testing.T) {
	for _, concurrency := range []int{0, 4} {
		echo := func(_ string, args []byte, _ protocol.Payload) ([]byte, string, string) { return args, "", "" }
		c := start(t, &Server{Framing: protocol.Dapeng, Concurrency: concurrency, Handler: echo}, protocol.Binary)
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for n := range 50 {
					args := []byte{3, 0, 1, byte(i), 3, 0, 2, byte(n), 0} // {1: i, 2: n}
					reply, err := c.Call("S", "echo", args, time.Minute)
					if err != nil || !bytes.Equal(reply.Body, args) {
						t.Errorf("caller %d call %d: %+v, %v", i, n, reply, err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestTimeout(t *testing.T) {
	release, seen := make(chan struct{}), make(chan string, 2)
	s := &Server{Framing: protocol.OSP, Handler: func(method string, args []byte, _ protocol.Payload) ([]byte, string, string) {
		if method == "slow" {
			<-release
		}
		seen <- method
		return args, "", ""
	}}
	c := start(t, s, protocol.Binary)
	if _, err := c.Call("S", "slow", stop, time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("slow: %v", err)
	}
	close(release)
	reply, err := c.Call("S", "fast", stop, time.Minute) // its reply comes after the late one, which nobody waits for
	if err != nil || reply.Method != "fast" {
		t.Errorf("fast: %+v, %v", reply, err)
	}
	if a, b := <-seen, <-seen; a != "slow" || b != "fast" {
		t.Errorf("the server saw %s and %s", a, b)
	}
}

func TestCloseEndsCalls(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	s := &Server{Framing: protocol.OSP, Handler: func(_ string, args []byte, _ protocol.Payload) ([]byte, string, string) {
		close(arrived)
		<-release
		return args, "", ""
	}}
	c := start(t, s, protocol.Binary)
	ended := make(chan error, 1)
	go func() {
		_, err := c.Call("S", "slow", stop, 0)
		ended <- err
	}()
	<-arrived
	_ = c.Close()
	if err := <-ended; err == nil {
		t.Error("the call ended without an error")
	}
	if _, err := c.Call("S", "again", stop, 0); err == nil {
		t.Error("a call on a closed connection ended without an error")
	}
	if err := c.Heartbeat(); err == nil {
		t.Error("a heartbeat on a closed connection ended without an error")
	}
	close(release)
}

func TestServeAfterClose(t *testing.T) {
	s := &Server{Framing: protocol.OSP}
	_ = s.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := s.Serve(l); err == nil {
		t.Error("a closed server serves")
	}
}

func TestReadFrameRefuses(t *testing.T) {
	for _, bad := range []struct{ what, frame string }{
		{"a length above the cap", "\x7f\xff\xff\xff\x02"},
		{"a cut frame", "\x00\x00\x00\x09\x02\x00"},
		{"no STX", "\x00\x00\x00\x09\x01\x00\x00\x00\x00\x01\x00\x00\x03"},
		{"no ETX", "\x00\x00\x00\x09\x02\x00\x00\x00\x00\x01\x00\x00\x00"},
		{"TJSON", "\x00\x00\x00\x09\x02\x02\x00\x00\x00\x01\x00\x00\x03"},
		{"a cut header", "\x00\x00\x00\x09\x02\x00\x00\x00\x00\x01\x0b\x00\x03"},
	} {
		if f, err := ReadFrame(bufio.NewReader(bytes.NewReader([]byte(bad.frame))), protocol.OSP); err == nil || err == io.EOF {
			t.Errorf("%s was read as %+v, %v", bad.what, f, err)
		}
	}
	if _, err := ReadFrame(bufio.NewReader(bytes.NewReader(nil)), protocol.OSP); err != io.EOF {
		t.Errorf("the end between frames is %v", err)
	}
	if _, err := EncodeFrame(protocol.OSP, &Frame{}); err == nil {
		t.Error("a frame without a payload was written")
	}
}
