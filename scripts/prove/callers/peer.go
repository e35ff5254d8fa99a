package callers

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"golang.org/x/sys/unix"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// peer is a Thrift server; a process of its own has some of them. Every call is answered with who answers,
// "service|address". On SIGTERM it takes no more connections, answers what has arrived, closes each connection together
// with its last reply, and ends.
type peer struct {
	name     string
	draining atomic.Bool
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	all      sync.WaitGroup
}

const (
	peerIdle   = 300 * time.Millisecond // a connection without a call, once the peer ends
	peerLinger = time.Second            // for the other side's close
	peerFrame  = 1 << 20
)

// runPeers is the process: a peer for every pair of a service and an address to listen at. It prints the addresses.
func runPeers(pairs []string) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	var all sync.WaitGroup
	var drains []func()
	for i := 0; i+1 < len(pairs); i += 2 {
		l, err := net.Listen("tcp", pairs[i+1])
		if err != nil {
			return err
		}
		p := &peer{name: pairs[i] + "|" + l.Addr().String(), conns: map[net.Conn]struct{}{}}
		drains = append(drains, func() { p.drain(l) })
		all.Go(func() {
			p.accept(l)
			p.all.Wait()
		})
		fmt.Println(l.Addr())
	}
	<-stop
	for _, drain := range drains {
		drain()
	}
	all.Wait()
	return nil
}

func (p *peer) drain(l net.Listener) {
	p.draining.Store(true)
	_ = l.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.SetReadDeadline(time.Now().Add(peerIdle))
	}
}

func (p *peer) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.conns[c] = struct{}{}
		p.mu.Unlock()
		p.all.Go(func() {
			p.serve(c.(*net.TCPConn))
			p.mu.Lock()
			delete(p.conns, c)
			p.mu.Unlock()
			_ = c.Close()
		})
	}
}

// serve answers call by call, until the connection ends or the peer does.
func (p *peer) serve(c *net.TCPConn) {
	r := bufio.NewReader(c)
	for {
		_, err := r.Peek(1)
		if errors.Is(err, os.ErrDeadlineExceeded) && waiting(c) > 0 { // a call came before we noticed the time
			_ = c.SetReadDeadline(time.Now().Add(peerIdle))
			continue
		}
		if err != nil {
			break
		}
		frame, err := readFrame(r)
		if err != nil {
			break
		}
		reply, err := p.answer(frame)
		if err != nil {
			return
		}
		last := p.draining.Load() && r.Buffered() == 0 && waiting(c) == 0
		if last {
			_ = cork(c) // the reply and the end leave as one segment: nobody sends in between
		}
		if _, err := c.Write(reply); err != nil {
			return
		}
		if last {
			break
		}
	}
	_ = c.CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(peerLinger))
	_, _ = io.Copy(io.Discard, r)
}

// waiting is how many bytes have arrived and were not read.
func waiting(c *net.TCPConn) (n int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return n
}

func cork(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, 1) })
	return errors.Join(err, failed)
}

func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > peerFrame {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

// answer makes the reply to a call, frame and all.
func (p *peer) answer(frame []byte) ([]byte, error) {
	ctx := context.Background()
	in, out := thrift.NewTMemoryBuffer(), thrift.NewTMemoryBuffer()
	_, _ = in.Write(frame)
	call, reply := thrift.NewTBinaryProtocolConf(in, nil), thrift.NewTBinaryProtocolConf(out, nil)
	name, _, seq, err := call.ReadMessageBegin(ctx)
	if err != nil {
		return nil, err
	}
	who := prove.Text{S: p.name}
	if err := errors.Join(reply.WriteMessageBegin(ctx, name, thrift.REPLY, seq), who.Reply(ctx, reply), reply.WriteMessageEnd(ctx)); err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(out.Len())), out.Bytes()...), nil
}
