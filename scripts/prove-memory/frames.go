package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// The exchange of large frames: each of the callers makes calls with a text of 64 MB and gets it back. Both ends make and
// check the text as it goes, so that they hold none of it.
const (
	exchanging = 8
	exchanges  = 2
	textSize   = 64 << 20
	piece      = 64 << 10
	slowly     = 2 * time.Millisecond // pause after each read of a slow end: at most 32 MB/s
)

// largeFrames measures a proxy through which large frames pass, with slow callers and then with slow servers.
func largeFrames(ctx context.Context, p *proof, dir string) error {
	for _, c := range []struct {
		key            string
		caller, server time.Duration
	}{{"frames-caller", slowly, 0}, {"frames-server", 0, slowly}} {
		if err := exchangeFrames(ctx, p, filepath.Join(dir, c.key), c.key, c.caller, c.server); err != nil {
			return fmt.Errorf("%s: %w", c.key, err)
		}
	}
	return nil
}

func exchangeFrames(ctx context.Context, p *proof, dir, key string, caller, server time.Duration) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	go serveFrames(l, server)
	addr, err := prove.FreePort()
	if err != nil {
		return err
	}
	b := &prove.Bellhop{
		Dir: dir,
		Config: fmt.Sprintf("limits: {max_frame: 65MiB}\nlisteners:\n  - {net: unix, addr: call.sock}\n  - {net: tcp, addr: %q, service: Echo}\n",
			addr),
		Services: fmt.Sprintf("services:\n  Echo: {framing: framed-binary, timeout: 60s, endpoints: [%q]}\n", l.Addr()),
	}
	defer func() { b.Process.Stop(100 * time.Millisecond) }()
	if err := b.Start(ctx); err != nil {
		return err
	}
	begun := time.Now()
	ended := make(chan error, exchanging)
	for range exchanging {
		go func() { ended <- exchange(ctx, addr, caller) }()
	}
	var errs []error
	for range exchanging {
		errs = append(errs, <-ended)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	peak, err := prove.PeakRSS(b.Process.PID())
	if err != nil {
		return err
	}
	rate := float64(exchanging*exchanges*2*textSize) / 1e6 / time.Since(begun).Seconds()
	p.table.Note(key+": carried, both ways", fmt.Sprintf("%.0f MB/s", rate))
	return p.judge(key, float64(peak))
}

// exchange makes one caller's calls.
func exchange(ctx context.Context, addr string, slow time.Duration) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	for seq := range uint32(exchanges) {
		sent := make(chan error, 1)
		go func() { sent <- send(c, 1, seq+1, 1) }()
		got, err := receive(c, 2, 0, slow)
		if err == nil && got != seq+1 {
			err = fmt.Errorf("the reply has sequence %d, want %d", got, seq+1)
		}
		if err != nil {
			_ = c.Close()
			return errors.Join(err, <-sent)
		}
		if err := <-sent; err != nil {
			return err
		}
	}
	return nil
}

// serveFrames answers until the listener is closed; what a connection dies of is seen by its caller.
func serveFrames(l net.Listener, slow time.Duration) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = c.Close() }()
			for {
				seq, err := receive(c, 1, 1, slow)
				if err != nil || send(c, 2, seq, 0) != nil {
					return
				}
			}
		}()
	}
}

// head is a framed strict message up to its text.
//
//	len(4) 80 01 00 type(1) 00 00 00 04 "echo" seq(4) 0B field(2) size(4) text 00
func head(typ byte, seq uint32, field uint16) []byte {
	b := binary.BigEndian.AppendUint32(nil, 16+7+textSize+1)
	b = append(b, 0x80, 1, 0, typ, 0, 0, 0, 4, 'e', 'c', 'h', 'o')
	b = binary.BigEndian.AppendUint32(b, seq)
	b = binary.BigEndian.AppendUint16(append(b, 11), field)
	return binary.BigEndian.AppendUint32(b, textSize)
}

// text is a piece of the text: it repeats after 251 bytes, so pieces that are lost, doubled or out of turn show.
func text(b []byte, at int) {
	for i := range b {
		b[i] = byte((at + i) % 251)
	}
}

func send(w io.Writer, typ byte, seq uint32, field uint16) error {
	if _, err := w.Write(head(typ, seq, field)); err != nil {
		return err
	}
	b := make([]byte, piece)
	for at := 0; at < textSize; at += len(b) {
		text(b, at)
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	_, err := w.Write([]byte{0})
	return err
}

func receive(r io.Reader, typ byte, field uint16, slow time.Duration) (seq uint32, err error) {
	got := make([]byte, len(head(typ, 0, field)))
	if _, err := io.ReadFull(r, got); err != nil {
		return 0, err
	}
	seq = binary.BigEndian.Uint32(got[16:])
	if !bytes.Equal(got, head(typ, seq, field)) {
		return 0, fmt.Errorf("the frame begins with %x", got)
	}
	b, want := make([]byte, piece), make([]byte, piece)
	for at := 0; at < textSize; {
		n, err := r.Read(b[:min(len(b), textSize-at)])
		if err != nil {
			return 0, err
		}
		if text(want[:n], at); !bytes.Equal(b[:n], want[:n]) {
			return 0, fmt.Errorf("the text is another within %d bytes after %d", n, at)
		}
		at += n
		time.Sleep(slow)
	}
	if _, err := io.ReadFull(r, b[:1]); err != nil || b[0] != 0 {
		return 0, errors.Join(err, fmt.Errorf("the struct ends with %x", b[0]))
	}
	return seq, nil
}
