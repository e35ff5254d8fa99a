package proxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/proxy/route"
)

// worker is one event loop and all that lives on it. Its gnet.EventHandler methods are called on the loop.
type worker struct {
	gnet.BuiltinEventEngine
	id     int
	p      *Proxy
	client *gnet.Client
	loop   gnet.EventLoop // set once the control connection is open
	booted chan struct{}

	now         int64 // worker clock in ns since the process started; fresh at the first event of a batch
	inBatch     bool
	table       *route.Table              // pulled once a batch
	rules       *govern.Rules             // likewise; nil: there are none
	ruleCounts  map[string]*govern.Counts // by rule
	limitQueues limitQueues
	permits     *permit // free ones
	resolved    resolved
	rnd         *rand.Rand
	dice        *rand.PCG // what rnd draws from

	calls    callTable
	msg      protocol.Message // of the frame being handled
	retry    protocol.Message // of a kept frame being sent, while msg is in use
	scratch  protocol.Scratch
	resend   protocol.Scratch
	stub     []byte // of the large frame being looked at
	pools    []*pool
	retiring retiring
	lookups  lookups
	shares   shares
	probeAt  int64 // when a call may be handed over to find out whether the remote tier has room
	wheel    *wheel
	evidence cluster.Evidence
	turns    map[*govern.Split]uint64 // of splits: where the next call goes
	stats    workerStats
	sense    sense
	failures failures
	bufs     bufferPool

	downs        map[*downstream]struct{}
	ups          map[*upstream]struct{}
	dirty        []*session // have bytes to write
	doomed       []*session // are to be closed after this batch
	ready        []*downstream
	displaced    callQueue // had to give way in a full queue and go on with this batch
	flushPending bool      // a control byte is under way that will bring us to flush
	unflushed    int       // events since the last flush

	control   int    // -1 after stop, guarded by inbox; our end of the control socketpair
	signal    func() // brings the loop round: one byte to control
	send      func(fd int, b []byte) (int, unix.Errno)
	connect   func(*pool, *upstream) // opens a connection without holding up the loop
	readmit   func(*session, int)    // brings a parked connection back, likewise
	alarm     *time.Timer
	armedFor  int64
	stopping  bool         // opens no connection any more
	ticked    uint64       // calls that had ended at the last tick
	load      atomic.Int64 // connections + calls in flight, for the acceptors
	inbox     sync.Mutex
	tasks     []func()
	signalled atomic.Bool
}

func newWorker(p *Proxy, id int) *worker {
	w := &worker{
		id: id, p: p, booted: make(chan struct{}), wheel: newWheel(), armedFor: noTimer,
		dice:  rand.NewPCG(rand.Uint64(), uint64(id)), // balancing needs spread, not secrecy
		downs: map[*downstream]struct{}{}, ups: map[*upstream]struct{}{}, lookups: lookups{byName: map[string]*lookup{}},
	}
	w.rnd = rand.New(w.dice)
	w.scratch.Max, w.resend.Max = p.cfg.Limits.MaxFrame, p.cfg.Limits.MaxFrame
	w.calls.w = w
	w.shares.init()
	w.stats.init(p)
	w.failures.init(p, p.cfg.Workers)
	return w
}

// start runs the loop and waits until its control connection is open.
func (w *worker) start() error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("worker %d: control socketpair: %w", w.id, err)
	}
	w.control = fds[0]
	w.signal = w.writeControl
	w.connect = w.dial
	w.readmit = w.enrolAgain
	w.send = send
	conn, err := connOfFD(fds[1], "bellhop-control")
	if err != nil {
		return fmt.Errorf("worker %d: control connection: %w", w.id, err)
	}
	w.client, err = gnet.NewClient(w, gnet.WithNumEventLoop(1), gnet.WithLogger(gnetLog{w.p.cfg.Log}), gnet.WithReadBufferCap(readBuffer))
	if err != nil {
		return fmt.Errorf("worker %d: %w", w.id, err)
	}
	if err := w.client.Start(); err != nil {
		return fmt.Errorf("worker %d: %w", w.id, err)
	}
	if _, err := w.client.EnrollContext(conn, controlConn{}); err != nil {
		return fmt.Errorf("worker %d: enrol control connection: %w", w.id, err)
	}
	<-w.booted
	w.alarm = time.AfterFunc(time.Hour, w.wake)
	return nil
}

// readBuffer is the most that is read from a socket at once, in bytes.
const readBuffer = 64 << 10

// controlConn marks the worker's end of its own control socketpair.
type controlConn struct{}

// stop ends the loop. The acceptors must have been joined: gnet's Stop does not wait for connections being enrolled.
func (w *worker) stop() {
	w.alarm.Stop()
	if err := w.client.Stop(); err != nil {
		w.p.cfg.Log.Debug("worker stopped", "worker", w.id, "error", err)
	}
	w.inbox.Lock()
	_ = unix.Close(w.control) // nothing could be done about an error
	w.control = -1            // a late wake must not reach whoever has the descriptor now
	w.inbox.Unlock()
}

// wake brings the loop round once. Safe for concurrent use, also after stop.
func (w *worker) wake() {
	w.inbox.Lock()
	w.signal()
	w.inbox.Unlock()
}

var wakeByte = []byte{0}

// writeControl writes one byte to the control socketpair; a full buffer means that a wake-up is under way already.
func (w *worker) writeControl() {
	_, _ = unix.Write(w.control, wakeByte) // EAGAIN: see above
}

// do runs f on the loop, soon. Safe for concurrent use. For rare things, not for calls.
func (w *worker) do(f func()) {
	w.inbox.Lock()
	w.tasks = append(w.tasks, f)
	if w.signalled.CompareAndSwap(false, true) {
		w.signal()
	}
	w.inbox.Unlock()
}

func (w *worker) runTasks() {
	w.signalled.Store(false)
	w.inbox.Lock()
	tasks := w.tasks
	w.tasks = nil
	w.inbox.Unlock()
	for _, f := range tasks {
		w.run(f)
	}
	if len(tasks) > 0 {
		w.stats.longest = max(w.stats.longest, w.p.clock()-w.now)
	}
}

// run keeps one task's defect from taking the others with it.
func (w *worker) run(f func()) {
	defer func() {
		if r := recover(); r != nil {
			w.panicked(r)
		}
	}()
	f()
}

// OnOpen tells ours from a caller's by the context. Loop only.
func (w *worker) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	switch s := c.Context().(type) {
	case controlConn:
		w.loop = c.EventLoop()
		close(w.booted)
	case *downstream:
		w.begin()
		w.begun(c, s.begun)
		w.end()
	case *upstream:
		w.begin()
		w.begun(c, s.begun)
		w.end()
	case *returning:
		s.opened = true
		c.SetContext(s.owner)
		w.begin()
		w.begun(c, s.back)
		w.end()
	}
	return nil, gnet.None
}

func (w *worker) begun(c gnet.Conn, begun func(gnet.Conn)) {
	defer w.recovered(c)
	begun(c)
}

// OnTraffic handles whatever has arrived on one connection. Loop only.
func (w *worker) OnTraffic(c gnet.Conn) gnet.Action {
	w.begin()
	w.handle(c)
	w.end()
	return gnet.None
}

func (w *worker) handle(c gnet.Conn) {
	defer w.recovered(c)
	switch s := c.Context().(type) {
	case *downstream:
		s.readable()
	case *upstream:
		s.readable()
	case controlConn:
		_, _ = c.Next(-1) // the bytes only wake us
		w.round()
	}
}

// recovered keeps a defect in a codec from ending the process: it costs the connection that brought it out.
func (w *worker) recovered(c gnet.Conn) {
	r := recover()
	if r == nil {
		return
	}
	w.panicked(r)
	switch s := c.Context().(type) {
	case *downstream:
		w.doom(&s.session, reasonPanic)
	case *upstream:
		w.doom(&s.session, reasonPanic)
	}
}

func (w *worker) panicked(r any) {
	w.stats.panics++
	w.p.cfg.Log.Error("panic on an event loop; what brought it out is given up", "worker", w.id, "panic", r, "stack", string(debug.Stack()))
}

// OnClose is the end of a connection, whoever ended it. It may be called from inside Write or closeDoomed, and so in
// the middle of a batch; a peer's close is a batch of its own: the faults that it causes have to be written. Loop only.
func (w *worker) OnClose(c gnet.Conn, err error) gnet.Action {
	if c.Context() == nil { // parked
		return gnet.None
	}
	inside := w.inBatch
	w.begin()
	w.ended(c, err)
	if !inside {
		w.end()
	}
	return gnet.None
}

func (w *worker) ended(c gnet.Conn, err error) {
	defer w.recovered(c)
	switch s := c.Context().(type) {
	case *downstream:
		s.closed(err)
	case *upstream:
		s.closed(err)
	}
}

// doom has a connection closed at the end of this batch. Loop only.
func (w *worker) doom(s *session, reason closeReason) {
	if !s.live() || s.doomedFor != "" {
		return
	}
	s.doomedFor = reason
	w.doomed = append(w.doomed, s)
}

func (w *worker) closeDoomed() {
	for len(w.doomed) > 0 {
		s := w.doomed[len(w.doomed)-1]
		w.doomed = w.doomed[:len(w.doomed)-1]
		if s.conn != nil {
			_ = w.loop.Close(s.conn) // OnClose runs inside and is where the end is handled
		} else {
			s.closeParked()
		}
	}
}

// enrol hands a connected socket to this worker's loop and waits until it was opened there: OnOpen has run, or the error
// says why it never will. The socket is the loop's or closed. Safe for concurrent use, never on the loop.
func (w *worker) enrol(conn net.Conn, ctx any, opened *bool) error {
	if conn.RemoteAddr() == nil {
		_ = conn.Close() // the peer has reset it already; gnet would panic
		return errResetEarly
	}
	res, err := w.loop.Enroll(gnet.NewContext(context.Background(), ctx), conn)
	if err != nil {
		_ = conn.Close() // was not taken over
		return err
	}
	if r := <-res; r.Err != nil {
		return r.Err
	}
	if !*opened { // written on the loop before gnet answered
		return errNotOpened
	}
	return nil
}

var (
	errResetEarly = errors.New("the peer reset the connection before it was enrolled")
	errNotOpened  = errors.New("the event loop could not watch the connection")
)
