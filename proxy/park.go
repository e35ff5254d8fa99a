package proxy

import (
	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// A connection is parked while what it brings has nowhere to go: gnet reads whatever is there and cannot be told to stop,
// so the connection leaves the loop without being closed, and comes back when there is room again. Parking and coming
// back cost about 45 µs. The peer's close is not seen meanwhile; whoever is waited for has a timeout.
//
//	on the loop (conn) ── park ──► parked (a descriptor) ── unpark ──► being enrolled ── OnOpen, back ──► on the loop
//	                                   └── doom ──► closed                  └── the peer has reset it ──► closed

// minParked keeps the descriptor of a parked connection off the standard streams, so that 0 can mean none.
const minParked = 3

// park stops reading from a connection. It does nothing while bytes wait to be written there, and when descriptors are
// used up. Loop only, not while the connection's own bytes are being looked at.
func (s *session) park() {
	if s.conn == nil || s.doomedFor != "" || len(s.out) > s.outAt || s.conn.OutboundBuffered() > 0 {
		return
	}
	fd, err := unix.FcntlInt(uintptr(s.conn.Fd()), unix.F_DUPFD_CLOEXEC, minParked)
	if err != nil {
		return
	}
	c := s.conn
	s.conn, s.away, s.parked, s.stalledSince = nil, true, fd, 0
	s.w.stats.pauses++
	c.SetContext(nil) // its OnClose is nobody's end
	_ = s.w.loop.Close(c)
}

// unpark brings a parked connection back; back follows, or the end of the session. Loop only.
func (s *session) unpark() {
	if s.parked == 0 || s.doomedFor != "" {
		return
	}
	if s.w.stopping {
		s.w.doom(s, reasonDrain)
		return
	}
	fd := s.parked
	s.parked = 0
	s.w.readmit(s, fd)
}

// returning is a parked connection being enrolled again. It may be parked once more before its enrolment is known to
// have ended, so it has a mark of its own.
type returning struct {
	*session
	opened bool
}

// enrolAgain enrols a connection that was parked, without holding up the loop.
func (w *worker) enrolAgain(s *session, fd int) {
	w.p.pending.Go(func() {
		conn, err := connOfFD(fd, "parked")
		if err == nil {
			r := &returning{session: s}
			err = w.enrol(conn, r, &r.opened)
		}
		if err != nil {
			w.do(func() {
				s.away = false
				s.owner.closed(err)
			})
		}
	})
}

// back takes up a connection that was parked. It may have been doomed on its way.
func (s *session) back(c gnet.Conn) {
	s.conn, s.away = c, false
	s.lastActive = s.w.now
	switch {
	case s.doomedFor != "":
		s.w.doomed = append(s.w.doomed, s)
	case len(s.out) > s.outAt:
		s.done(s.out)
	}
	if d, ok := s.owner.(*downstream); ok {
		d.again()
	}
}

// live reports whether the session has a connection, be it parked. (A closed one has none.)
func (s *session) live() bool { return s.conn != nil || s.away }

// closeParked ends a doomed session whose connection is parked. One that is on its way back is closed there.
func (s *session) closeParked() {
	if s.parked == 0 {
		return
	}
	_ = unix.Close(s.parked) // nothing could be done about an error
	s.parked, s.away = 0, false
	s.owner.closed(nil)
}

// doomParked gives up every parked connection: the worker is stopping.
func (w *worker) doomParked() {
	for d := range w.downs {
		if d.parked != 0 {
			w.doom(&d.session, reasonDrain)
		}
	}
	for u := range w.ups {
		if u.parked != 0 {
			w.doom(&u.session, reasonDrain)
		}
	}
	w.closeDoomed()
}
