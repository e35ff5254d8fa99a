package osppeer

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// RetError is an error reply: a retCode or respCode that is not OK.
type RetError struct{ Reply *Frame }

// Error returns the code and the message.
func (e *RetError) Error() string { return e.Reply.RetCode + ": " + e.Reply.RetMessage }

// Client calls over one connection; calls are matched to replies by sequence. The exported fields are set before the
// first call; the methods are safe for concurrent use.
type Client struct {
	Caller, Version string            // sent with every call
	Cookies         map[string]string // sent with every call

	framing protocol.Framing
	payload protocol.Payload
	out     *frameWriter
	done    chan struct{} // closed when the reader has ended

	mu     sync.Mutex
	seq    int32
	waits  map[int32]chan *Frame
	echoes []chan struct{} // heartbeats that wait for theirs
	err    error           // why the connection ended
}

// Dial connects to a server that speaks framing, and calls it in payload. An error is the connection's.
func Dial(network, address string, framing protocol.Framing, payload protocol.Payload) (*Client, error) {
	conn, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return NewClient(conn, framing, payload), nil
}

// NewClient calls over conn, which is the client's from now on.
func NewClient(conn net.Conn, framing protocol.Framing, payload protocol.Payload) *Client {
	c := &Client{framing: framing, payload: payload, out: newFrameWriter(conn, framing), done: make(chan struct{}), waits: map[int32]chan *Frame{}}
	go c.read(conn)
	return c
}

// Call sends args, a struct in the client's payload, and waits for the reply. The error is *RetError for an error reply,
// os.ErrDeadlineExceeded after timeout (a late reply is dropped), else the connection's. The timeout also travels in the
// header; 0 waits for ever.
func (c *Client) Call(service, method string, args []byte, timeout time.Duration) (*Frame, error) {
	wait := make(chan *Frame, 1)
	seq, err := c.enlist(wait)
	if err != nil {
		return nil, err
	}
	f := &Frame{Payload: c.payload, Seq: seq, Body: args}
	f.Header = Header{Service: service, Method: method, Version: c.Version, Caller: c.Caller, Timeout: timeout, Cookies: c.Cookies}
	if err := c.out.write(f, true); err != nil {
		c.strike(seq)
		return nil, err
	}
	var expired <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		expired = t.C
	}
	select {
	case reply := <-wait:
		return c.judge(reply)
	case <-expired:
		c.strike(seq)
		return nil, fmt.Errorf("osppeer: %s.%s after %v: %w", service, method, timeout, os.ErrDeadlineExceeded)
	case <-c.done:
		select {
		case reply := <-wait: // it came before the end
			return c.judge(reply)
		default:
			return nil, c.ended()
		}
	}
}

func (c *Client) judge(reply *Frame) (*Frame, error) {
	if !reply.OK(c.framing) {
		return reply, &RetError{reply}
	}
	return reply, nil
}

// Heartbeat sends a heartbeat and waits for its echo. The error is the connection's.
func (c *Client) Heartbeat() error {
	echo := make(chan struct{})
	c.mu.Lock()
	c.echoes = append(c.echoes, echo)
	c.mu.Unlock()
	if err := c.out.write(&Frame{Heartbeat: true}, true); err != nil {
		return err
	}
	select {
	case <-echo:
		return nil
	case <-c.done:
		return c.ended()
	}
}

// Close closes the connection and waits for the reader. Calls that wait end with an error.
func (c *Client) Close() error {
	err := c.out.conn.Close()
	<-c.done
	return err
}

func (c *Client) enlist(wait chan *Frame) (int32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	for {
		c.seq = max(c.seq+1, 1) // 1 … 2³¹−1, and again
		if _, taken := c.waits[c.seq]; !taken {
			c.waits[c.seq] = wait
			return c.seq, nil
		}
	}
}

func (c *Client) strike(seq int32) {
	c.mu.Lock()
	delete(c.waits, seq)
	c.mu.Unlock()
}

func (c *Client) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// read is the connection's reader: it hands every reply to the call that waits for its sequence.
func (c *Client) read(conn net.Conn) {
	defer close(c.done)
	r := bufio.NewReaderSize(conn, 64<<10)
	for {
		f, err := ReadFrame(r, c.framing)
		if err == nil && !f.Heartbeat && !f.Reply {
			err = errors.New("osppeer: the server sent a call")
		}
		c.mu.Lock()
		switch {
		case err != nil:
			c.err = fmt.Errorf("osppeer: the connection ended: %w", err)
		case f.Heartbeat && len(c.echoes) > 0:
			close(c.echoes[0])
			c.echoes = c.echoes[1:]
		case c.waits[f.Seq] != nil:
			c.waits[f.Seq] <- f
			delete(c.waits, f.Seq)
		}
		c.mu.Unlock()
		if err != nil {
			_ = conn.Close()
			return
		}
	}
}
