package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/registry"
)

// selftestService is answered by this process itself: a call to it goes the whole way of a guest's call.
const selftestService = "bellhop.selftest"

const selftestMethod = "ping"

// selftest makes the calls that readiness rests on.
//
//	call ─► own listener ─► worker ─► endpoint unix:private/selftest.sock ─► answer ─► back the same way
type selftest struct {
	network, address string
	seq              atomic.Int32
}

func (n *node) selftestPath() string { return filepath.Join(n.dir.Private(), "selftest.sock") }

func (n *node) selftestService() *registry.Service {
	return &registry.Service{
		Name: selftestService, Framing: "framed-binary", Timeout: time.Second, Idempotent: []string{selftestMethod},
		Endpoints: []registry.Endpoint{{Addr: "unix:" + n.selftestPath()}},
	}
}

// startSelftest runs the endpoint, and chooses the listener that the calls go through: the first that any guest can use,
// or one of our own when every listener is bound, pinned or encrypted.
func (n *node) startSelftest() error {
	l, err := proxy.ListenUnix(n.selftestPath(), 0o600)
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answer(c)
		}
	}()
	n.onClose(func() { _ = l.Close() }) // its connections end with those of the workers
	for i := range n.places {
		if p := &n.places[i]; p.open() {
			n.self.network, n.self.address = p.Net, p.actual
			if p.Net == "tcp" {
				n.self.address = p.reachable()
			}
			return nil
		}
	}
	n.self.network, n.self.address = "unix", filepath.Join(n.dir.Private(), "selftest-call.sock")
	call, err := proxy.ListenUnix(n.self.address, 0o600)
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	return n.proxy.Listen(proxy.ListenerConfig{Name: "selftest", Listener: call})
}

// answer serves one connection of the endpoint: an empty reply to every call.
func answer(c net.Conn) {
	defer c.Close()
	for {
		name, seq, _, err := readMessage(c)
		if err != nil {
			return // the proxy closed it, or is gone
		}
		if _, err := c.Write(appendMessage(nil, protocol.MessageReply, name, seq)); err != nil {
			return
		}
	}
}

// call makes one call. Safe for concurrent use.
func (s *selftest) call(ctx context.Context) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, s.network, s.address)
	if err != nil {
		return err
	}
	defer c.Close()
	if at, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(at) // a fresh connection takes it
	}
	seq := s.seq.Add(1)
	if _, err := c.Write(appendMessage(nil, protocol.MessageCall, selftestService+":"+selftestMethod, seq)); err != nil {
		return err
	}
	name, got, typ, err := readMessage(c)
	switch {
	case err != nil:
		return err
	case typ != protocol.MessageReply:
		return errors.New("it was answered with an exception")
	case got != seq || name != selftestMethod:
		return fmt.Errorf("the reply is %s with sequence %d, want %s with %d", name, got, selftestMethod, seq)
	}
	return nil
}

// maxSelftest bounds a self-test message; a fault's text fits.
const maxSelftest = 4096

// appendMessage writes a framed strict TBinary message with an empty struct.
//
//	len(4) 80 01 00 type | nameLen(4) name | seq(4) | 00
func appendMessage(dst []byte, t protocol.MessageType, name string, seq int32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(4+4+len(name)+4+1))
	dst = append(dst, 0x80, 0x01, 0, byte(t))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(name)))
	dst = append(dst, name...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(seq))
	return append(dst, 0)
}

func readMessage(r io.Reader) (name string, seq int32, t protocol.MessageType, err error) {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", 0, 0, err
	}
	size, nameLen := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[8:])
	if size > maxSelftest || nameLen > size || size < 12+nameLen {
		return "", 0, 0, fmt.Errorf("a frame of %d bytes with a name of %d is no self-test", size, nameLen)
	}
	rest := make([]byte, size-8)
	if _, err := io.ReadFull(r, rest); err != nil {
		return "", 0, 0, err
	}
	return string(rest[:nameLen]), int32(binary.BigEndian.Uint32(rest[nameLen:])), protocol.MessageType(head[7]), nil
}
