package osppeer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"net"
	"sync"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// Handler answers one call. args and result are structs in p. An empty retCode is success; any other is an error reply
// with retMessage, and result may be nil. Called from one goroutine a connection, or from Concurrency of them.
type Handler func(method string, args []byte, p protocol.Payload) (result []byte, retCode, retMessage string)

// Server answers calls with its Handler. Its fields are set before Serve and not changed afterwards.
type Server struct {
	Framing protocol.Framing // protocol.OSP or protocol.Dapeng
	Handler Handler
	// Concurrency is how many calls of one connection run at the same time; their replies overtake each other. 0 and 1:
	// one after the other, on the connection's goroutine.
	Concurrency int

	mu     sync.Mutex
	closed bool
	open   map[interface{ Close() error }]struct{} // listeners and connections
	wg     sync.WaitGroup
}

// Serve accepts and serves until Close, and then returns nil. Safe for concurrent use: one server may serve several
// listeners.
func (s *Server) Serve(l net.Listener) error {
	if !s.keep(l) {
		return errors.New("osppeer: the server is closed")
	}
	defer s.forget(l)
	for {
		conn, err := l.Accept()
		if err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.closed {
				return nil
			}
			return err
		}
		if !s.keep(conn) {
			_ = conn.Close()
			return nil
		}
		go s.serve(conn)
	}
}

// Close closes the listeners and connections and waits for the calls that run. Safe for concurrent use.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for c := range s.open {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

func (s *Server) keep(c interface{ Close() error }) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.open == nil {
		s.open = map[interface{ Close() error }]struct{}{}
	}
	s.open[c] = struct{}{}
	s.wg.Add(1)
	return true
}

func (s *Server) forget(c interface{ Close() error }) {
	_ = c.Close()
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	s.wg.Done()
}

// serve is one connection. A frame that cannot be read ends it: what follows cannot be trusted to be a frame.
func (s *Server) serve(conn net.Conn) {
	defer s.forget(conn)
	r, out := bufio.NewReaderSize(conn, 64<<10), newFrameWriter(conn, s.Framing)
	slots := make(chan struct{}, max(s.Concurrency, 1))
	defer func() { // every call that runs has ended
		for range cap(slots) {
			slots <- struct{}{}
		}
	}()
	for {
		f, err := ReadFrame(r, s.Framing)
		if err != nil {
			return
		}
		switch {
		case f.Heartbeat:
			err = out.write(f, true)
		case cap(slots) == 1:
			err = out.write(s.answer(f), !buffered(r)) // the last of a batch carries the others out
		default:
			slots <- struct{}{}
			go func() {
				_ = out.write(s.answer(f), true) // a write that fails closes the connection: the reader sees it
				<-slots
			}()
		}
		if err != nil {
			return
		}
	}
}

// buffered reports whether a whole frame can be read without waiting for the peer.
func buffered(r *bufio.Reader) bool {
	if r.Buffered() < 4 {
		return false
	}
	prefix, _ := r.Peek(4)
	return uint32(r.Buffered()-4) >= binary.BigEndian.Uint32(prefix)
}

func (s *Server) answer(f *Frame) *Frame {
	result, code, message := s.Handler(f.Method, f.Body, f.Payload)
	reply := &Frame{Payload: f.Payload, Seq: f.Seq, Body: result}
	reply.Header = Header{Service: f.Service, Method: f.Method, Version: f.Version, Reply: true, RetCode: code, RetMessage: message}
	switch {
	case code == "":
		reply.RetCode = okCode(s.Framing)
	case s.Framing == protocol.Dapeng:
		reply.Body = nil
	case len(result) == 0:
		reply.Body = []byte{0}
	}
	return reply
}

// frameWriter writes whole frames. Safe for concurrent use.
type frameWriter struct {
	framing protocol.Framing
	mu      sync.Mutex
	conn    net.Conn
	buf     *bufio.Writer
}

func newFrameWriter(conn net.Conn, framing protocol.Framing) *frameWriter {
	return &frameWriter{framing: framing, conn: conn, buf: bufio.NewWriterSize(conn, 64<<10)}
}

// write appends f, and sends what is buffered when flush is set. A connection that failed is closed.
func (w *frameWriter) write(f *Frame, flush bool) error {
	b, err := EncodeFrame(w.framing, f)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err = w.buf.Write(b); err == nil && flush {
		err = w.buf.Flush()
	}
	if err != nil {
		_ = w.conn.Close()
	}
	return err
}
