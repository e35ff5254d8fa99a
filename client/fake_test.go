package client

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
	"golang.org/x/sys/unix"
)

// fake is a proxy made by hand: it speaks framed strict binary and answers every call with its own name.
type fake struct {
	t    *testing.T
	name string
	net  string
	addr string

	mu    sync.Mutex
	mode  string
	l     net.Listener
	full  []int // descriptors of a listener whose backlog is full
	conns map[net.Conn]bool
	calls int
	beats int
	marks int // callers that said that they were asked to move

	ledger *sync.Map // arguments → *atomic.Int32: how often each call ran
	wg     sync.WaitGroup
}

func newFake(t *testing.T, name, network, dir string) *fake {
	f := &fake{t: t, name: name, net: network, addr: "127.0.0.1:0", conns: map[net.Conn]bool{}}
	if network == "unix" {
		f.addr = filepath.Join(dir, name+".sock")
	}
	f.set("serve") // a TCP port is known from here on
	t.Cleanup(func() {
		f.set("gone")
		f.wg.Wait()
	})
	return f
}

// set changes what the proxy does. Connections that stand are closed, as a process that ends closes them.
//
//	serve, not_executed, shed   answers so; heartbeats are echoed
//	hold                        accepts and never answers
//	lose                        echoes heartbeats, reads a call and closes
//	full                        a listener whose backlog is full: unix says EAGAIN, TCP is silent
//	refuse                      nobody listens; the unix path is still there
//	gone                        nobody listens, and the path is gone
func (f *fake) set(mode string) {
	f.t.Helper()
	f.stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mode = mode
	switch mode {
	case "gone":
		if f.net == "unix" {
			os.Remove(f.addr)
		}
	case "refuse":
	case "full":
		f.fill()
	default:
		f.listen()
	}
}

func (f *fake) stop() {
	f.mu.Lock()
	if f.l != nil {
		f.l.Close()
		f.l = nil
	}
	for _, fd := range f.full {
		unix.Close(fd)
	}
	f.full = nil
	for c := range f.conns {
		c.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

func (f *fake) listen() {
	if f.net == "unix" {
		os.Remove(f.addr)
	}
	l, err := net.Listen(f.net, f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	if ul, ok := l.(*net.UnixListener); ok {
		ul.SetUnlinkOnClose(false)
	}
	f.l, f.addr = l, l.Addr().String()
	f.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns[c] = true
			f.mu.Unlock()
			f.wg.Go(func() { f.serve(c) })
		}
	})
}

// fill listens with a backlog of nothing and takes its one place.
func (f *fake) fill() {
	family, sa := unix.AF_UNIX, unix.Sockaddr(&unix.SockaddrUnix{Name: f.addr})
	if f.net == "unix" {
		os.Remove(f.addr)
	} else {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(netip.MustParseAddrPort(f.addr).Port()), Addr: [4]byte{127, 0, 0, 1}}
	}
	l := f.socket(family)
	if err := unix.SetsockoptInt(l, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		f.t.Fatal(err)
	}
	if err := unix.Bind(l, sa); err != nil {
		f.t.Fatal(err)
	}
	if err := unix.Listen(l, 0); err != nil {
		f.t.Fatal(err)
	}
	// Two are enough for unix; on TCP the rest wait for an answer to their SYN that never comes.
	var err error
	for range 4 {
		err = unix.Connect(f.socket(family), sa)
	}
	if f.net == "unix" && err != unix.EAGAIN {
		f.t.Fatalf("filling the backlog: %v, want EAGAIN", err)
	}
}

func (f *fake) socket(family int) int {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	f.full = append(f.full, fd)
	return fd
}

func (f *fake) serve(c net.Conn) {
	defer func() {
		c.Close()
		f.mu.Lock()
		delete(f.conns, c)
		f.mu.Unlock()
	}()
	for {
		var head [4]byte
		if f.holds() {
			_, _ = io.Copy(io.Discard, c)
			return
		}
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(head[:])
		if n == 0 {
			f.count(&f.beats)
			_, _ = c.Write(head[:])
			continue
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(c, body); err != nil {
			return
		}
		if bytes.Contains(body, []byte("bellhop:moved")) {
			f.count(&f.marks)
			continue
		}
		f.count(&f.calls)
		if !f.answer(c, body) {
			return
		}
	}
}

func (f *fake) holds() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mode == "hold"
}

func (f *fake) count(n *int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*n++
}

func (f *fake) seen() (calls, beats int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls, f.beats
}

func (f *fake) open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.conns)
}

// answer writes the reply to one strict binary message; false closes the connection.
func (f *fake) answer(c net.Conn, body []byte) bool {
	f.mu.Lock()
	mode := f.mode
	f.mu.Unlock()
	if mode == "lose" {
		return false
	}
	ctx := context.Background()
	in := thrift.NewTMemoryBuffer()
	in.Write(body)
	ip := thrift.NewTBinaryProtocolConf(in, nil)
	name, kind, seq, err := ip.ReadMessageBegin(ctx)
	if err != nil {
		return false
	}
	if f.ledger != nil {
		args := &text{id: 1}
		if args.Read(ctx, ip) != nil {
			return false
		}
		n, _ := f.ledger.LoadOrStore(args.s, new(atomic.Int32))
		n.(*atomic.Int32).Add(1)
	}
	if kind == thrift.ONEWAY {
		return true
	}
	_, bare, ok := cut(name)
	if !ok {
		return false // every test names a service
	}
	out := thrift.NewTMemoryBuffer()
	p := thrift.NewTBinaryProtocolConf(out, nil)
	switch mode {
	case "not_executed":
		_ = p.WriteMessageBegin(ctx, bare, thrift.EXCEPTION, seq)
		_ = thrift.NewTApplicationException(11, "not executed: draining").Write(ctx, p)
	case "go_home":
		_ = p.WriteMessageBegin(ctx, bare, thrift.EXCEPTION, seq)
		_ = thrift.NewTApplicationException(11, "not executed: go home: this host's grant is spent").Write(ctx, p)
	case "shed":
		_ = p.WriteMessageBegin(ctx, bare, thrift.EXCEPTION, seq)
		_ = thrift.NewTApplicationException(11, "too busy").Write(ctx, p)
	default:
		_ = p.WriteMessageBegin(ctx, bare, thrift.REPLY, seq)
		_ = (&text{id: 0, s: f.name}).Write(ctx, p)
	}
	frame := binary.BigEndian.AppendUint32(nil, uint32(out.Len()))
	_, err = c.Write(append(frame, out.Bytes()...))
	return err == nil
}

func cut(name string) (service, method string, ok bool) {
	for i := range name {
		if name[i] == ':' {
			return name[:i], name[i+1:], true
		}
	}
	return "", name, false
}

// text is a struct with one string, as the compiler would write one: arguments with field 1, a result with field 0.
type text struct {
	id int16
	s  string
}

func (x *text) Write(ctx context.Context, p thrift.TProtocol) error {
	if err := p.WriteStructBegin(ctx, "text"); err != nil {
		return err
	}
	if err := p.WriteFieldBegin(ctx, "s", thrift.STRING, x.id); err != nil {
		return err
	}
	if err := p.WriteString(ctx, x.s); err != nil {
		return err
	}
	if err := p.WriteFieldEnd(ctx); err != nil {
		return err
	}
	if err := p.WriteFieldStop(ctx); err != nil {
		return err
	}
	return p.WriteStructEnd(ctx)
}

func (x *text) Read(ctx context.Context, p thrift.TProtocol) error {
	if _, err := p.ReadStructBegin(ctx); err != nil {
		return err
	}
	for {
		_, kind, id, err := p.ReadFieldBegin(ctx)
		if err != nil {
			return err
		}
		if kind == thrift.STOP {
			return p.ReadStructEnd(ctx)
		}
		if id == x.id && kind == thrift.STRING {
			x.s, err = p.ReadString(ctx)
		} else {
			err = p.Skip(ctx, kind)
		}
		if err != nil {
			return err
		}
	}
}
