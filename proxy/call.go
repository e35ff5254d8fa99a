package proxy

import (
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/cluster"
	"github.com/bellhop-mesh/bellhop/proxy/fair"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/remote"
)

// call is one request and its reply. It belongs to its worker's table and is re-used. Loop only.
type call struct {
	w    *worker
	id   int32 // slot and generation: the sequence on the upstream connection
	free bool

	d            *downstream // nil: nobody waits any more
	dnext, dprev *call       // the caller's calls
	slot         uint32      // place in the order of the caller's replies
	to           protocol.ReplyTo
	src          *source
	size         int   // bytes of its frame
	charged      int64 // bytes charged to the source
	stats        *methodStats

	decision     *govern.Decision // nil: no rules were asked
	permits      *permit          // limits that count it
	limit        int32            // the number of the one that it waits for
	queuedAt     int64            // since when it does, or did
	queued       int64            // how long it has waited for limits, ns
	beyond       *govern.Limit    // that has refused it
	brought      bool             // its caller named a deadline
	couldStay    bool             // handed over though it could be served here: by a rule, a drain, or to relieve this proxy
	policy       *govern.Policy   // never nil once the call was admitted and its service is known
	part         *govern.Part     // of its service's endpoints, that a rule sends it to; nil: all
	cluster      *cluster.Cluster
	endpoint     *cluster.Endpoint
	tries        attempts
	hops         uint8
	oneway       bool
	spent        bool // a oneway whose bytes have left and that a server might answer all the same
	idempotent   bool // may run twice
	overdue      bool // missed its deadline; its reply may come yet
	retried      bool // was sent again after it had been written: it may have run
	handed       bool // over to the remote tier
	spilled      bool // ... because this proxy has more than it can or may carry
	probe        bool // ... to find out whether there is room
	returns      bool // ... and is kept, to be served here if the remote proxy does not run it
	hello        bool // the proxy's own first call on a hand-off connection
	up           *upstream
	unext, uprev *call  // the connection's calls
	begin        uint64 // where its bytes lie in the upstream's stream
	end          uint64

	dry       *rehearsal // the call is only rehearsed (rehearse.go)
	caller    []byte     // the name that its frame claims
	pool      *pool      // where it waits for a connection
	queue     *callQueue // where it waits for a look-up or its turn
	item      fair.Item[*call]
	flow      *fair.Flow[*call] // whose share of a pool's queue it was sent on; nil: it did not wait
	flowEra   uint32            // generation of that
	flowCost  int64             // what it was charged there
	displaced bool              // had to give way in a full queue
	kept      []byte            // its frame while it waits, the stub of a large one
	keptCodec protocol.Codec
	upload    *upload // the rest of a large frame, which has not all come or left
	relayed   bool    // its caller has a part of its reply

	start    int64
	from     int64 // where its deadline counts from
	sentAt   int64
	deadline int64
	timer    timer
}

// Call ids are sequences on the wire, so they are 1…2³¹−1: 20 bits of slot, 11 bits of generation.
const (
	slotBits = 20
	maxCalls = 1<<slotBits - 1
	genMask  = 1<<11 - 1
	chunk    = 256
)

// callTable is a worker's calls in flight, in chunks so that a call never moves.
type callTable struct {
	w      *worker
	chunks [][]call
	free   []int32 // slots
	active int     // calls whose caller waits
	used   int     // calls taken, zombies included
}

// get takes a free call; nil when the table is full.
func (t *callTable) get() *call {
	if len(t.free) == 0 && !t.grow() {
		return nil
	}
	s := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	c := &t.chunks[(s-1)/chunk][(s-1)%chunk]
	gen := (c.id>>slotBits + 1) & genMask
	c.id, c.free = gen<<slotBits|s, false
	t.active++
	t.used++
	return c
}

func (t *callTable) grow() bool {
	n := int32(len(t.chunks) * chunk)
	if n+chunk > maxCalls {
		return false
	}
	calls := make([]call, chunk)
	for i := range calls {
		calls[i].w, calls[i].free = t.w, true
		calls[i].timer.fire = &calls[i]
	}
	t.chunks = append(t.chunks, calls)
	for i := int32(chunk); i > 0; i-- {
		t.free = append(t.free, n+i)
	}
	return true
}

// find returns the call that this sequence was given to, nil if there is none now.
func (t *callTable) find(seq int32) *call {
	s := seq & maxCalls
	if s < 1 || int(s) > len(t.chunks)*chunk {
		return nil
	}
	c := &t.chunks[(s-1)/chunk][(s-1)%chunk]
	if c.free || c.id != seq {
		return nil
	}
	return c
}

// put gives a call back. It keeps its own buffers and its generation.
func (t *callTable) put(c *call) {
	c.w.wheel.disarm(&c.timer)
	keep := call{w: c.w, id: c.id, free: true, to: c.to, timer: timer{fire: c}, kept: c.kept[:0], caller: c.caller[:0]}
	if cap(keep.kept) > newBuffer {
		keep.kept = nil
	}
	*c = keep
	t.free = append(t.free, c.id&maxCalls)
	t.used--
}

// admit binds a call to its caller and checks every bound it meets there. CodeOK: go on.
func (w *worker) admit(c *call, d *downstream, m *protocol.Message) protocol.Fault {
	c.start = d.cameAt()
	c.to.SetFrom(m)
	c.caller = append(c.caller[:0], m.Caller[:min(len(m.Caller), nameRoom)]...)
	if len(m.Service) == 0 {
		m.Service = d.l.service
		c.to.Service = append(c.to.Service[:0], m.Service...)
	}
	c.cluster = w.table.Lookup(m.Service)
	c.oneway = m.Type == protocol.MessageOneway
	d.adopt(c)
	c.src = d.src
	calls := w.p.begin(d.src)
	total := w.p.inFlight.Add(1)
	if g := &w.p.guard; w.p.cfg.Accept != nil && total > g.busiest.Load() {
		g.busiest.Store(total) // workers may lose a little to each other
	}
	c.size = len(m.Frame) + m.Rest
	d.size += int64(c.size)
	if m.Rest > 0 { // no more of it is ever held
		c.upload, d.upload.c = d.upload, c
		w.charge(c, int64(min(c.size, w.p.cfg.Limits.Window)))
	} else {
		w.charge(c, int64(c.size))
	}
	c.stats = w.stats.method(c.cluster, m.Method)
	c.handoffKeys(m)
	c.setDeadline(m, c.start)
	lim := &w.p.cfg.Limits
	switch {
	case !d.outOfOrder && d.inFlight > lim.Depth:
		return protocol.Fault{Code: protocol.CodeDepth, Message: "too many pipelined calls on this connection (limits.depth)"}
	case c.hops > remote.MaxHops:
		return protocol.Fault{Code: protocol.CodeHops, Message: "the call was handed over more than once"}
	case d.handoff && (d.inFlight > int(d.grant.Calls) || d.grant.Bytes > 0 && d.size > d.grant.Bytes && d.inFlight > 1):
		return protocol.Fault{Code: protocol.CodeGrant, Message: "more calls or bytes in flight than this host was granted"}
	case d.handoff && d.spent(): // the rest of it is in the hands of moved callers
		w.stats.measures[measureOverflow]++
		return protocol.Fault{Code: protocol.CodeOverload, Message: "the host's grant is spent by its callers that were asked to move"}
	case d.spent():
		w.stats.measures[measureGoHome]++
		return protocol.Fault{Code: protocol.CodeGoHome, Message: remote.GoHome + ": this host's grant is spent; use its local proxy"}
	}
	if d.handoff { // its grant bounds it
		calls = 0
	}
	if f := w.bound(d.src, calls, total); f.Code != protocol.CodeOK {
		return f
	}
	if c.deadline <= w.now { // nobody waits for it any more
		return protocol.Fault{Code: protocol.CodeDeadline, Message: "the deadline of " + c.allowed().String() + " had passed before the call's turn came: source " +
			d.src.Source + " wants more than its share of a busy proxy"}
	}
	if c.cluster == nil { // the last: it may wait for its service, within these bounds
		return protocol.Fault{Code: protocol.CodeNoService, Message: describe(protocol.CodeNoService, c)}
	}
	c.declared(m)
	return protocol.Fault{}
}

// bound checks the bounds of a source that has calls in flight with one more, and the proxy's with total.
func (w *worker) bound(src *source, calls, total int64) protocol.Fault {
	lim := &w.p.cfg.Limits
	switch {
	case calls > int64(lim.SourceCalls):
		return protocol.Fault{Code: protocol.CodeSourceCalls, Message: "source " + src.Source + " has too many calls in flight (limits.source_calls)"}
	case w.p.overShare(src, calls, total):
		return protocol.Fault{Code: protocol.CodeSourceCalls, Message: "source " + src.Source + " has its share of the calls in flight, and others want theirs (limits.total_calls)"}
	case total > int64(lim.TotalCalls):
		return protocol.Fault{Code: protocol.CodeTotalCalls, Message: "the proxy has too many calls in flight (limits.total_calls)"}
	case src.bytes.Load() > lim.SourceBytes:
		return protocol.Fault{Code: protocol.CodeSourceBytes, Message: "source " + src.Source + " has too many bytes buffered (limits.source_bytes)"}
	case w.p.bytes.Load() > lim.TotalBytes:
		return protocol.Fault{Code: protocol.CodeTotalBytes, Message: "the proxy has too many bytes buffered (limits.total_bytes)"}
	}
	return protocol.Fault{}
}

// mayRunTwice reports whether a call could be sent again at all: a oneway is not, and of a large one nothing is kept.
func (c *call) mayRunTwice() bool { return !c.oneway && c.upload == nil }

// declared takes up what the service says of the method.
func (c *call) declared(m *protocol.Message) {
	c.idempotent = c.cluster.Idempotent(m.Method) && c.mayRunTwice()
	if c.cluster.Oneway(m.Method) && !c.oneway {
		c.oneway = true
		c.d.acknowledge(c, m)
		m.Type = protocol.MessageOneway
	}
}

// setDeadline: the header's, else the service's, else the configured one; never beyond the longest allowed. It counts from the
// moment from, in the worker's time.
func (c *call) setDeadline(m *protocol.Message, from int64) {
	t := &c.w.p.cfg.Timeouts
	d := m.Timeout
	if c.brought = d > 0; d <= 0 {
		d = t.Call
		if c.cluster != nil && c.cluster.Timeout > 0 {
			d = c.cluster.Timeout
		}
	}
	d = min(d, t.MaxCall)
	c.from, c.deadline = from, from+int64(d)
	m.Timeout = time.Duration(c.deadline - c.w.now)
	c.w.wheel.arm(&c.timer, c.deadline)
}

func (c *call) allowed() time.Duration { return time.Duration(c.deadline - c.from) }

// smallFrame is up to where a frame's bytes are covered by the bound on calls and not charged one by one.
const smallFrame = 4 << 10

// charge counts a large frame against the source until the call ends.
func (w *worker) charge(c *call, n int64) {
	if n <= smallFrame {
		return
	}
	c.charged = n
	c.src.bytes.Add(n)
	w.p.bytes.Add(n)
}

// finish is the end of a call for its caller: counters, budgets, its place with the caller. The call itself lives on
// while a connection still carries it: a multiplexed one owes a reply for its sequence, a oneway's bytes have to leave.
func (w *worker) finish(c *call, code protocol.Code) {
	w.wheel.disarm(&c.timer)
	if c.upload != nil {
		w.abandonUpload(c)
	}
	if c.relayed {
		w.abandonRelay(c)
	}
	if d := c.d; d != nil {
		w.record(c, code)
		w.p.cease(c.src)
		w.p.inFlight.Add(-1)
		if c.charged > 0 {
			c.src.bytes.Add(-c.charged)
			w.p.bytes.Add(-c.charged)
		}
		w.calls.active--
		if c.permits != nil {
			w.releasePermits(c)
		}
		d.dismiss(c)
	}
	if c.up == nil && c.pool == nil && c.queue == nil {
		w.calls.put(c)
	}
}

// resubmit offers a call that is provably unsent to another endpoint, of the table in force. frame is what codec decodes;
// it is kept in c.
func (w *worker) resubmit(c *call, codec protocol.Codec, frame []byte) {
	c.kept, c.keptCodec = append(c.kept[:0], frame...), codec
	if c.d == nil && (!c.oneway || c.deadline <= w.now) { // nobody waits for it, or it would come too late
		w.calls.put(c)
		return
	}
	if m := w.readAgain(c); m != nil {
		w.choose(c, m)
	}
}

// readAgain looks up the cluster that a call goes to now, and reads the frame that it has kept. nil: the call was failed.
func (w *worker) readAgain(c *call) *protocol.Message {
	if c.cluster = w.clusterOf(c); c.cluster == nil {
		w.fail(c, protocol.Fault{Code: protocol.CodeNoService, Message: describe(protocol.CodeNoService, c)})
		return nil
	}
	m, err := w.keptMessage(c)
	if err != nil {
		w.fail(c, protocol.Fault{Code: protocol.CodeInternal, Message: "the call could not be read again: " + err.Error()})
		return nil
	}
	return m
}

// requeue offers a call that is provably unsent to another endpoint, within its budget.
func (w *worker) requeue(c *call, codec protocol.Codec, frame []byte) {
	if c.d != nil && !c.stats.budgets.requeues.take(w.now, w.perWorker(w.p.cfg.Limits.RequeueMin)) {
		w.stats.requeuesRefused++
		w.fail(c, protocol.Fault{Code: protocol.CodeConnect, Message: "no connection to service " + string(c.to.Service) + " could be opened, and the budget of calls that are offered elsewhere is spent (limits.requeue_share)"})
		return
	}
	w.stats.requeued++
	w.resubmit(c, codec, frame)
}

// keptMessage decodes the frame a call has kept. The view lasts until the next call of keptMessage.
func (w *worker) keptMessage(c *call) (*protocol.Message, error) {
	m := &w.retry
	if err := c.keptCodec.Decode(c.kept, m, &w.resend); err != nil {
		return nil, err
	}
	c.handoffKeys(m)
	m.Service = c.to.Service
	m.Timeout = time.Duration(c.deadline - w.now)
	if c.oneway {
		m.Type = protocol.MessageOneway
	}
	return m, nil
}
