package proxy_test

import (
	"bytes"
	be "encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/registry"
)

// The frames of these tests are made by hand: a call of "say" with one string, whose bytes are a pattern that can be
// checked as it comes, so that neither end holds the frame.

// pattern is an endless text.
type pattern struct{ at int }

func (p *pattern) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'a' + byte((p.at+i)%23)
	}
	p.at += len(b)
	return len(b), nil
}

// Write fails where what is written is not the text.
func (p *pattern) Write(b []byte) (int, error) {
	for i, c := range b {
		if c != 'a'+byte((p.at+i)%23) {
			return i, errors.New("the text is not what was sent")
		}
	}
	p.at += len(b)
	return len(b), nil
}

// frameHead is a framed strict message up to the text of its one string field.
func frameHead(typ byte, name string, seq int32, field uint16, size int) []byte {
	b := be.BigEndian.AppendUint32(nil, uint32(12+len(name)+7+size+1))
	b = be.BigEndian.AppendUint32(append(b, 0x80, 1, 0, typ), uint32(len(name)))
	b = be.BigEndian.AppendUint32(append(b, name...), uint32(seq))
	b = be.BigEndian.AppendUint16(append(b, 11), field)
	return be.BigEndian.AppendUint32(b, uint32(size))
}

func sendLarge(w io.Writer, typ byte, name string, seq int32, field uint16, size int) error {
	_, err := w.Write(frameHead(typ, name, seq, field, size))
	if err == nil {
		_, err = io.CopyN(w, &pattern{}, int64(size))
	}
	if err == nil {
		_, err = w.Write([]byte{0})
	}
	return err
}

// receiveLarge reads a frame and checks its text.
func receiveLarge(r io.Reader, typ byte, name string, field uint16, size int) (seq int32, err error) {
	want := frameHead(typ, name, 0, field, size)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil {
		return 0, err
	}
	at := 12 + len(name)
	seq = int32(be.BigEndian.Uint32(got[at:]))
	copy(want[at:], got[at:at+4])
	if !bytes.Equal(got, want) {
		return 0, errors.New("the frame begins differently")
	}
	if _, err := io.CopyN(&pattern{}, r, int64(size)); err != nil {
		return 0, err
	}
	var stop [1]byte
	if _, err := io.ReadFull(r, stop[:]); err != nil || stop[0] != 0 {
		return 0, errors.Join(err, errors.New("the struct does not end"))
	}
	return seq, nil
}

// echoLarge answers calls of one size, reading and writing at the pace of slow.
func echoLarge(t *testing.T, size int, slow func(net.Conn) net.Conn) string {
	t.Helper()
	return listenLarge(t, func(raw net.Conn) {
		c := slow(raw)
		for {
			seq, err := receiveLarge(c, 1, "say", 1, size)
			if err != nil || sendLarge(c, 2, "say", seq, 0, size) != nil {
				return
			}
		}
	})
}

// listenLarge serves connections until the test ends.
func listenLarge(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}

func asItComes(c net.Conn) net.Conn { return c }

// sipping reads a little at a time, with pauses that let every buffer on the way fill up.
type sipping struct {
	net.Conn
	taken atomic.Int64
}

func (s *sipping) Read(b []byte) (int, error) {
	if n := s.taken.Load(); n>>21 != (n-int64(len(b)))>>21 {
		<-time.After(5 * time.Millisecond)
	}
	n, err := s.Conn.Read(b[:min(len(b), 16<<10)])
	s.taken.Add(int64(n))
	return n, err
}

// watch notes the most bytes that the proxy ever held while f ran.
func watch(p *proxy.Proxy, f func()) (most int64) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		for _, s := range p.Sources() {
			most = max(most, s.Bytes)
		}
		select {
		case <-done:
			return most
		case <-tick.C:
		}
	}
}

// TestLargeFrames: a call of 24 MB and its reply pass through a proxy that holds a few hundred kB of them, whoever is
// slow, on connections of both modes; a small call behind them on the same connection is answered too.
func TestLargeFrames(t *testing.T) {
	const size = 24 << 20
	for name, c := range map[string]struct {
		mode         string
		caller, peer func(net.Conn) net.Conn
	}{
		"fast":              {"exclusive", asItComes, asItComes},
		"multiplexed":       {"multiplexed", asItComes, asItComes},
		"per-call":          {"per-call", asItComes, asItComes},
		"slow caller":       {"exclusive", func(c net.Conn) net.Conn { return &sipping{Conn: c} }, asItComes},
		"slow endpoint":     {"exclusive", asItComes, func(c net.Conn) net.Conn { return &sipping{Conn: c} }},
		"slow, multiplexed": {"multiplexed", func(c net.Conn) net.Conn { return &sipping{Conn: c} }, func(c net.Conn) net.Conn { return &sipping{Conn: c} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, addr := start(t, 1, func(cfg *proxy.Config) { cfg.Limits.MaxFrame = 64 << 20 }, &registry.Service{
				Name: "Echo", Mode: c.mode, Timeout: 20 * time.Second,
				Endpoints: []registry.Endpoint{{Addr: echoLarge(t, size, c.peer)}},
			})
			conn := connect(t, addr)
			var errs [2]error
			most := watch(p, func() {
				reader := c.caller(conn)
				for seq := range int32(2) {
					sent := make(chan error, 1)
					go func() { sent <- sendLarge(conn, 1, "Echo:say", seq+5, 1, size) }()
					got, err := receiveLarge(reader, 2, "say", 0, size)
					if err == nil && got != seq+5 {
						err = errors.New("another sequence")
					}
					errs[seq] = errors.Join(err, <-sent)
				}
			})
			if err := errors.Join(errs[:]...); err != nil {
				t.Error(err)
			}
			if most > 4<<20 {
				t.Errorf("the proxy held %d bytes for its caller", most)
			}
			stats, err := p.Stats(t.Context())
			if err != nil || stats.Counters["uploads"] != 2 || stats.Counters["relays"] != 2 {
				t.Errorf("%v, %v", stats.Counters, err)
			}
			if slow := strings.Contains(name, "slow"); slow && stats.Counters["read_pauses"] == 0 {
				t.Error("nothing was ever parked: this shows nothing")
			}
		})
	}
}

// TestLargeMalformed: a body that is found malformed when a part of it has left gets its caller a fault, and costs the
// endpoint's connection; the endpoint never has a whole frame.
func TestLargeMalformed(t *testing.T) {
	const size = 1 << 20
	var whole atomic.Int64
	peer := listenLarge(t, func(c net.Conn) {
		n, _ := io.Copy(io.Discard, c)
		whole.Add(n / (size + 32)) // of a call
	})
	_, addr := start(t, 1, nil, &registry.Service{Name: "Echo", Endpoints: []registry.Endpoint{{Addr: peer}}})
	for name, spoil := range map[string]func([]byte) []byte{
		"no end":        func(b []byte) []byte { b[len(b)-1] = 11; return b },
		"two structs":   func(b []byte) []byte { be.BigEndian.PutUint32(b[4+20+3:], size-1); return b },
		"past the end":  func(b []byte) []byte { be.BigEndian.PutUint32(b[4+20+3:], size+1); return b },
		"negative size": func(b []byte) []byte { be.BigEndian.PutUint32(b[4+20+3:], 1<<31); return b },
	} {
		var frame bytes.Buffer
		if err := sendLarge(&frame, 1, "Echo:say", 9, 1, size); err != nil {
			t.Fatal(err)
		}
		conn := connect(t, addr)
		go func() { _, _ = conn.Write(spoil(frame.Bytes())) }()
		answer, err := io.ReadAll(conn)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && len(answer) == 0 {
			t.Errorf("%s: %v", name, err)
		}
		if len(answer) < 20 || answer[7] != 3 {
			t.Errorf("%s: the answer is %x, want an exception and the end", name, answer)
		}
	}
	if n := whole.Load(); n > 0 {
		t.Errorf("the endpoint had %d of the calls whole", n)
	}
}

// TestLargeFaults: what ends a large call early answers its caller, who goes on with the connection.
func TestLargeFaults(t *testing.T) {
	const size = 2 << 20
	gone := echoLarge(t, size, func(c net.Conn) net.Conn { _ = c.Close(); return c })
	_, addr := start(t, 1, nil,
		&registry.Service{Name: "Echo", Timeout: 5 * time.Second, Endpoints: []registry.Endpoint{{Addr: echoLarge(t, size, asItComes)}}},
		&registry.Service{Name: "Gone", Timeout: 5 * time.Second, Endpoints: []registry.Endpoint{{Addr: gone}}},
		&registry.Service{Name: "None", Timeout: 5 * time.Second})
	conn := connect(t, addr)
	for i, name := range []string{"Gone:say", "None:say", "Echo:say", "Gone:say", "Echo:say"} {
		sent := make(chan error, 1)
		go func() { sent <- sendLarge(conn, 1, name, int32(i+1), 1, size) }()
		if name == "Echo:say" {
			if seq, err := receiveLarge(conn, 2, "say", 0, size); err != nil || seq != int32(i+1) {
				t.Fatalf("call %d: %d, %v", i+1, seq, err)
			}
		} else if seq, err := receiveFault(conn); err != nil || seq != int32(i+1) {
			t.Fatalf("call %d: %d, %v", i+1, seq, err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
}

func receiveFault(r io.Reader) (seq int32, err error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return 0, err
	}
	b := make([]byte, be.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		return 0, err
	}
	if b[3] != 3 {
		return 0, errors.New("no exception")
	}
	return int32(be.BigEndian.Uint32(b[8+3:])), nil
}

// TestStopWhileParked: a proxy that is stopped while a connection is parked leaves nothing open.
func TestStopWhileParked(t *testing.T) {
	const size = 32 << 20
	release := make(chan struct{})
	defer close(release)
	stuck := echoLarge(t, size, func(c net.Conn) net.Conn { <-release; return c })
	p, addr, err := launch(1, func(cfg *proxy.Config) {
		cfg.Limits.MaxFrame = 64 << 20
	}, &registry.Service{Name: "Echo", Endpoints: []registry.Endpoint{{Addr: stuck}}})
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, addr)
	sent := make(chan error, 1)
	go func() { sent <- sendLarge(conn, 1, "Echo:say", 1, 1, size) }()
	for {
		stats, err := p.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if stats.Counters["read_pauses"] > 0 {
			break
		}
	}
	p.Stop()
	if err := <-sent; err == nil {
		t.Error("the call went out whole")
	}
}
