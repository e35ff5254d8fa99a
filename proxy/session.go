package proxy

import (
	"io"
	"net"
	"os"

	"github.com/panjf2000/gnet/v2"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// session is what both kinds of connection share: bytes that have come and do not make a frame yet, bytes that wait to
// be written, and one timer for everything that can become late. Loop only.
type session struct {
	w         *worker
	conn      gnet.Conn // nil before OnOpen and from OnClose on; nothing else owns it
	owner     owner
	opened    bool   // OnOpen has run
	away      bool   // parked, or on its way back (park.go)
	parked    int    // the descriptor of a parked connection; 0: none
	undecided bool   // more bytes are needed to tell whether the frame is forwarded while it arrives (stream.go)
	whole     bool   // it is not
	in        []byte // an unfinished frame
	out       []byte // not handed to gnet yet, from outAt
	outAt     int
	queued    uint64 // bytes ever appended to out
	handed    uint64 // bytes ever handed to gnet: never "unsent" any more
	dirty     bool
	doomedFor closeReason
	timer     timer
	scan      protocol.Scan

	partialSince int64 // when the unfinished frame began; 0: none
	stalledSince int64 // when the peer stopped taking bytes; 0: it takes them
	stalledAt    int   // gnet's backlog then
	lastActive   int64 // the last byte that came
}

// owner is what a session's connection means to whoever it belongs to.
type owner interface {
	expirer
	flushed()     // everything was handed to gnet
	backlogged()  // the peer does not take what was handed to gnet
	closed(error) // the connection has ended
}

// handAtOnce is the most that gnet is given and may hold for a peer: it has no bound of its own. Less would slow large
// bodies down (what is left has to wait for the wheel), more would make more calls "written" that a dead peer never saw.
const handAtOnce = 1 << 20

// recheck is how often a stalled peer is looked at: gnet has no event for a backlog that has drained.
const recheck = tick

// receive returns what has come: an unfinished frame's bytes and the new ones in one piece.
func (s *session) receive() []byte {
	buf, err := s.conn.Next(-1)
	if err != nil {
		return nil
	}
	s.lastActive = s.w.now
	if len(s.in) == 0 {
		return buf
	}
	if have := len(s.in) + len(buf); have > cap(s.in) { // twice what has come, but not more than the frame needs
		s.in = s.w.bufs.grow(s.in, max(have, min(2*have, s.scan.Need)))
	}
	s.in = append(s.in, buf...)
	if s.scan.Need > len(s.in) && !s.undecided {
		return nil
	}
	return s.in
}

// keep stores what was not used of the bytes that receive returned.
func (s *session) keep(buf []byte, used int) {
	left := len(buf) - used
	switch {
	case used == 0 && len(s.in) == len(buf): // they are there
	case left == 0 && len(s.in) > 0:
		s.w.bufs.put(s.in)
		s.in = nil
	case left == 0:
	case len(s.in) > 0:
		s.in = s.in[:copy(s.in, buf[used:])]
	default:
		if s.in == nil {
			s.in = s.w.bufs.get(left)
		}
		s.in = append(s.in[:0], buf[used:]...)
	}
	if left == 0 {
		s.partialSince = 0
	} else if s.partialSince == 0 || used > 0 {
		s.partialSince = s.w.now
		s.schedule(s.w.now + int64(s.w.p.cfg.Timeouts.Frame))
	}
}

// buffer returns out for appending about n bytes; done stores what came of it.
func (s *session) buffer(n int) []byte {
	switch {
	case s.out == nil:
		s.out = s.w.bufs.get(n)
	case s.outAt > keepBuffer: // a slow reader: what it has taken needs no room
		s.out = s.out[:copy(s.out, s.out[s.outAt:])]
		s.outAt = 0
	}
	if n > newBuffer && len(s.out)+n > cap(s.out) { // doubling: a batch may bring many such
		s.out = s.w.bufs.grow(s.out, max(len(s.out)+n, 2*cap(s.out)))
	}
	return s.out
}

// done takes out back with what was appended and has it written at the end of the batch.
func (s *session) done(out []byte) {
	s.queued += uint64(len(out) - len(s.out))
	s.out = out
	if !s.dirty {
		s.dirty = true
		s.w.dirty = append(s.w.dirty, s)
	}
}

// pass appends a piece of a large body. What the kernel takes at once need not be copied. Loop only.
func (s *session) pass(b []byte) {
	if s.conn != nil && len(s.out) == s.outAt && s.conn.OutboundBuffered() == 0 {
		if sent, errno := s.w.send(s.conn.Fd(), b); errno == 0 { // an error is found again by write
			s.queued += uint64(sent)
			s.handed += uint64(sent)
			b = b[sent:]
		}
	}
	if len(b) > 0 {
		s.done(append(s.buffer(len(b)), b...))
	}
}

// waitingBytes is what is buffered for this connection, in bytes.
func (s *session) waitingBytes() int {
	n := len(s.in) + len(s.out) - s.outAt
	if s.conn != nil {
		n += s.conn.OutboundBuffered()
	}
	return n
}

// schedule has the timer fire at due, or earlier if it is set so.
func (s *session) schedule(due int64) {
	if s.timer.slot == 0 || due < s.timer.due {
		s.w.wheel.arm(&s.timer, due)
	}
}

// write hands gnet as much as it may have. It is called by flush only: Write can close the connection and so re-enter.
func (s *session) write() {
	s.dirty = false
	s.unpark() // where nothing is read nothing can be written
	for s.conn != nil && len(s.out) > s.outAt {
		if n := s.conn.OutboundBuffered(); n > 0 {
			s.stalled(n)
			return
		}
		n := min(len(s.out)-s.outAt, handAtOnce)
		data := s.out[s.outAt : s.outAt+n]
		s.outAt += n
		s.handed += uint64(n)
		s.w.stats.writes++
		if sent, errno := s.w.send(s.conn.Fd(), data); errno == 0 {
			data = data[sent:]
		}
		if len(data) > 0 { // gnet keeps what the kernel does not take, or finds the error
			_, _ = s.conn.Write(data) // an error closes the connection: OnClose has run by now
		}
	}
	if s.conn == nil {
		return
	}
	s.w.bufs.put(s.out)
	s.out, s.outAt = nil, 0
	if n := s.conn.OutboundBuffered(); n > 0 {
		s.stalled(n)
		return
	}
	s.stalledSince = 0
	s.owner.flushed()
}

// stalled notes that the peer has not taken n bytes and looks again soon.
func (s *session) stalled(n int) {
	if s.stalledSince == 0 || n != s.stalledAt {
		s.stalledSince, s.stalledAt = s.w.now, n
	}
	s.lookAgain(s.w.now)
	s.owner.backlogged()
}

// lookAgain comes back to a stalled peer: soon at first, less often the longer it has taken nothing, so that many of
// them cost little.
func (s *session) lookAgain(now int64) { s.schedule(now + max(recheck, (now-s.stalledSince)/16)) }

// checkStall goes on writing to a peer that had stalled, or gives it up.
func (s *session) checkStall(now int64) {
	if s.stalledSince == 0 {
		return
	}
	n := s.conn.OutboundBuffered()
	if n != s.stalledAt {
		s.stalledSince, s.stalledAt = now, n
	}
	if now-s.stalledSince >= int64(s.w.p.cfg.Timeouts.WriteStall) {
		s.w.doom(s, reasonWriteStall)
		return
	}
	if n > 0 {
		s.lookAgain(now)
		return
	}
	if len(s.out) > s.outAt {
		s.done(s.out)
		return
	}
	s.stalledSince = 0
	s.owner.flushed()
}

// detach ends the session's use of its connection: the first thing that closed does.
func (s *session) detach() {
	s.conn, s.away = nil, false
	s.w.wheel.disarm(&s.timer)
	s.w.bufs.put(s.in)
	s.in = nil
}

// flush writes to every peer that something waits for: one write each. Loop only.
func (w *worker) flush() {
	w.unflushed = 0
	for len(w.dirty) > 0 {
		s := w.dirty[len(w.dirty)-1]
		w.dirty = w.dirty[:len(w.dirty)-1]
		s.write()
	}
}

// connOfFD makes a net.Conn of a descriptor and closes the descriptor.
func connOfFD(fd int, name string) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), name)
	defer func() { _ = f.Close() }() // net.FileConn has its own copy
	return net.FileConn(f)
}

// closeReason is why a connection was closed: a metric label and a log word.
type closeReason string

const (
	reasonPeer        closeReason = "peer_closed"
	reasonReset       closeReason = "peer_reset"
	reasonDetect      closeReason = "detect_timeout"
	reasonFrame       closeReason = "frame_timeout"
	reasonWriteStall  closeReason = "write_stall"
	reasonIdle        closeReason = "idle"
	reasonMaxAge      closeReason = "max_age"
	reasonMalformed   closeReason = "malformed"
	reasonTooLarge    closeReason = "too_large"
	reasonUnsupported closeReason = "unsupported"
	reasonBytes       closeReason = "bytes_bound"
	reasonDrain       closeReason = "drain"
	reasonPanic       closeReason = "panic"
	reasonRefused     closeReason = "handoff_refused"
	reasonStray       closeReason = "stray_reply"
	reasonBadReply    closeReason = "bad_reply"
	reasonStall       closeReason = "reply_stall"
	reasonAbandoned   closeReason = "abandoned"
	reasonPerCall     closeReason = "per_call"
	reasonCut         closeReason = "reply_cut"
	reasonRetired     closeReason = "retired"
	reasonSurplus     closeReason = "surplus"
)

func reasonOf(err error) closeReason {
	if err == nil || err == io.EOF || err.Error() == "read: EOF" {
		return reasonPeer
	}
	return reasonReset
}
