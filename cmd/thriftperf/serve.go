package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/bellhop-mesh/bellhop/protocol"
)

type serveOptions struct {
	listen  []string
	framing string
	delay   time.Duration
	fail    string
	failBad bool
}

func serveCommand() *cobra.Command {
	o := serveOptions{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "answer every call with its own argument",
		Long: `Answer every call with its own argument: the value of field 1, whatever its type, comes back as field 0.
Any number of connections, pipelined calls on each, one thread. The addresses are printed as they are bound, and at each
SIGUSR1 how many calls of the method echo there were, how many of them failed, and how many other calls.`,
		Example: "  thriftperf serve --listen tcp:127.0.0.1:9090\n  thriftperf serve --listen unix:/tmp/echo.sock --framing osp --delay 5ms",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.listen, "listen", []string{"tcp:127.0.0.1:9090"}, "tcp:HOST:PORT, unix:PATH, or loopback:PORT (every address of 127.0.0.0/8, and nothing from outside); may be repeated")
	f.StringVar(&o.framing, "framing", "auto", "auto (told by the first bytes), or one of "+strings.Join(protocol.WireNames(), ", "))
	f.DurationVar(&o.delay, "delay", 0, "how long every call takes")
	f.StringVar(&o.fail, "fail", "", "KIND or KIND:SHARE of the calls fails: internal-error, loadshedding, declared or close")
	f.BoolVar(&o.failBad, "fail-bad", false, "calls of load --bad fail with an internal error, others do not")
	return cmd
}

// Bounds of a connection: past pauseBytes of replies that wait, nothing more is read from it.
const (
	pauseBytes = 1 << 20
	tickID     = -1
)

// server is the loop: connections and what it owes them.
type server struct {
	codecs map[protocol.Framing]protocol.Codec
	pin    protocol.Codec // nil: told by the first bytes
	delay  time.Duration
	poll   *poller
	accept chan int // descriptors, from the acceptors
	wake   int      // an eventfd that says that there are some
	conns  []*client
	free   []int32
	dirty  []*client
	buf    []byte
	echo   echo
	late   []lateReply // in the order in which they are due
	head   int         // of late
}

// client is a connection to the server.
type client struct {
	conn
	open bool
	held []byte // replies whose time has not come
}

// lateReply says that the next n bytes of held are due.
type lateReply struct {
	at time.Time
	c  *client
	n  int
}

// serve listens and answers until ctx ends.
func serve(ctx context.Context, o serveOptions, out io.Writer) error {
	s := &server{codecs: codecs(), delay: o.delay, accept: make(chan int, 1024), buf: make([]byte, readSize)}
	if o.framing != "auto" {
		wire, err := protocol.ParseWire(o.framing)
		if err != nil {
			return err
		}
		s.pin = s.codecs[wire.Framing]
	}
	var err error
	if s.echo.failing, err = parseFailing(o.fail, o.failBad); err != nil {
		return err
	}
	if s.poll, err = newPoller(); err != nil {
		return err
	}
	defer s.poll.close()
	if s.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	if err := s.poll.watch(s.wake, tickID, unix.EPOLLIN); err != nil {
		return err
	}
	for _, word := range o.listen {
		a, err := parseListen(word)
		if err != nil {
			return err
		}
		l, err := listen(a)
		if err != nil {
			return err
		}
		defer func() { _ = l.Close() }()
		_, _ = fmt.Fprintf(out, "listening %s:%s\n", a.network, l.Addr())
		go s.acceptLoop(l)
	}
	stop, counted := make(chan struct{}), sync.WaitGroup{}
	counted.Go(func() { s.echo.failing.countOnSignal(out, stop) })
	defer counted.Wait()
	defer close(stop)
	_, _ = fmt.Fprintln(out, "ready")
	return s.run(ctx)
}

// parseListen takes loopback:PORT beside what parseAddress takes.
func parseListen(s string) (address, error) {
	if port, ok := strings.CutPrefix(s, loopback+":"); ok {
		return address{loopback, "0.0.0.0:" + port}, nil
	}
	return parseAddress(s)
}

// loopback is the network of a listener that all of 127.0.0.0/8 leads to: thousands of endpoints that one server answers
// for. It is bound to the device, so that the wildcard address takes nothing from outside.
const loopback = "loopback"

func listen(a address) (net.Listener, error) {
	if a.network == loopback {
		var onLo error
		lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			err := c.Control(func(fd uintptr) { onLo = unix.BindToDevice(int(fd), "lo") })
			return errors.Join(err, onLo)
		}}
		return lc.Listen(context.Background(), "tcp4", a.addr)
	}
	if a.network == "unix" { // a socket that a killed server left
		if st, err := os.Lstat(a.addr); err == nil && st.Mode()&os.ModeSocket != 0 {
			_ = os.Remove(a.addr)
		}
	}
	return net.Listen(a.network, a.addr)
}

func (s *server) acceptLoop(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, or a peer that left: both pass
			time.Sleep(10 * time.Millisecond)
			continue
		}
		fd, err := takeFD(c)
		if err != nil {
			continue
		}
		s.accept <- fd
		_, _ = unix.Write(s.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// run is the loop.
func (s *server) run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer func() {
		for _, c := range s.conns {
			s.end(c, io.EOF)
		}
	}()
	for ctx.Err() == nil {
		events, err := s.poll.wait(s.patience())
		if err != nil {
			return err
		}
		for i := range events {
			if id := events[i].Fd; id == tickID {
				s.enrol()
			} else if c := s.conns[id]; c.open {
				s.serve(c, events[i].Events)
			}
		}
		s.release()
		for _, c := range s.dirty {
			if c.open && c.dirty {
				s.end(c, errors.Join(c.flush(s.poll), s.throttle(c)))
			}
		}
		s.dirty = s.dirty[:0]
	}
	return nil
}

// patience is how long the loop may wait, in milliseconds: until the next reply is due, and not so long that it does
// not hear of its end.
func (s *server) patience() int {
	ms := int64(200)
	if s.head < len(s.late) {
		ms = min(ms, max(0, (time.Until(s.late[s.head].at)+time.Millisecond-1).Milliseconds()))
	}
	return int(ms)
}

func (s *server) enrol() {
	var count [8]byte
	_, _ = unix.Read(s.wake, count[:])
	for {
		select {
		case fd := <-s.accept:
			s.open(fd)
		default:
			return
		}
	}
}

func (s *server) open(fd int) {
	var id int32
	if n := len(s.free); n > 0 {
		id, s.free = s.free[n-1], s.free[:n-1]
	} else {
		id = int32(len(s.conns))
		s.conns = append(s.conns, nil)
	}
	c := &client{conn: conn{fd: fd, id: id, codec: s.pin}, open: true}
	s.conns[id] = c
	s.end(c, c.listen(s.poll, unix.EPOLLIN))
}

// end closes a connection that has an error.
func (s *server) end(c *client, err error) {
	if err == nil || !c.open {
		return
	}
	c.open = false
	_ = unix.Close(c.fd)
	s.free = append(s.free, c.id)
}

func (s *server) serve(c *client, events uint32) {
	if events&^unix.EPOLLOUT != 0 {
		if err := s.read(c); err != nil {
			s.end(c, err)
			return
		}
	}
	if events&unix.EPOLLOUT != 0 || len(c.out) > 0 {
		s.mark(c)
	}
}

func (s *server) mark(c *client) {
	if !c.dirty {
		c.dirty = true
		s.dirty = append(s.dirty, c)
	}
}

// read answers every whole frame that is there.
func (s *server) read(c *client) error {
	data, err := c.fill(s.buf)
	if err != nil || len(data) == 0 {
		return err
	}
	now := time.Time{}
	if s.delay > 0 {
		now = time.Now().Add(s.delay)
	}
	for {
		if c.codec == nil {
			n, err := s.detect(c, data)
			if err != nil {
				return err
			}
			data = data[n:]
			if c.codec == nil {
				break
			}
		}
		n, err := c.codec.Split(&c.scan, data, protocol.DefaultMaxFrame)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if err := s.reply(c, data[:n], now); err != nil {
			return err
		}
		data = data[n:]
	}
	c.keep(data)
	return s.throttle(c)
}

// detect tells the framing and returns how many bytes of heartbeats were before it; these are answered.
func (s *server) detect(c *client, data []byte) (int, error) {
	f, beats, err := protocol.Detect(data)
	if err != nil {
		return 0, err
	}
	c.out = append(c.out, data[:beats]...)
	c.codec = s.codecs[f]
	if f != protocol.FramingUnknown && c.codec == nil {
		return 0, fmt.Errorf("%s is not spoken here", f)
	}
	return beats, nil
}

func (s *server) reply(c *client, frame []byte, due time.Time) (err error) {
	if s.delay == 0 {
		c.out, err = s.echo.answer(c.out, c.codec, frame)
		return err
	}
	before := len(c.held)
	if c.held, err = s.echo.answer(c.held, c.codec, frame); err != nil {
		return err
	}
	s.late = append(s.late, lateReply{at: due, c: c, n: len(c.held) - before})
	return nil
}

// release moves what is due to its connections.
func (s *server) release() {
	if s.head == len(s.late) {
		return
	}
	now := time.Now()
	for s.head < len(s.late) && !s.late[s.head].at.After(now) {
		r := &s.late[s.head]
		s.head++
		if !r.c.open {
			continue
		}
		r.c.out = append(r.c.out, r.c.held[:r.n]...)
		r.c.held = append(r.c.held[:0], r.c.held[r.n:]...)
		s.mark(r.c)
	}
	if s.head > len(s.late)/2 {
		n := copy(s.late, s.late[s.head:])
		clear(s.late[n:])
		s.late, s.head = s.late[:n], 0
	}
}

// throttle stops and resumes reading by what waits to be written.
func (s *server) throttle(c *client) error {
	if len(c.out)-c.sent+len(c.held) > pauseBytes {
		return c.listen(s.poll, c.events&^unix.EPOLLIN)
	}
	return c.listen(s.poll, c.events|unix.EPOLLIN)
}
