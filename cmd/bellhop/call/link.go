package call

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/client"
)

// link is a way to whoever answers. A link carries one call.
type link interface {
	// send writes the whole frame; its context's deadline holds for recv too. The error is a *linkError.
	send(ctx context.Context, frame []byte) error
	// recv reads more of the reply. The error is a *linkError.
	recv(p []byte) (int, error)
	close()
}

// linkError is a call that failed on its way.
type linkError struct {
	class client.Class
	err   error
}

func (e *linkError) Error() string { return e.err.Error() }
func (e *linkError) Unwrap() error { return e.err }

// direct is a connection to an address that the person named.
type direct struct {
	network, addr string
	conn          net.Conn
}

// parseAddr reads host:port or unix:path.
func parseAddr(s string) (*direct, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return nil, errors.New("--addr unix: names no socket: say unix:/path")
		}
		return &direct{network: "unix", addr: path}, nil
	}
	if _, port, err := net.SplitHostPort(s); err != nil || port == "" {
		return nil, fmt.Errorf("--addr %q is neither host:port nor unix:/path", s)
	}
	return &direct{network: "tcp", addr: s}, nil
}

func (d *direct) send(ctx context.Context, frame []byte) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, d.network, d.addr)
	if err != nil {
		return &linkError{client.ClassUnsent, err}
	}
	d.conn = conn
	at, _ := ctx.Deadline()
	if err := conn.SetDeadline(at); err != nil {
		return &linkError{client.ClassUnsent, err}
	}
	n, err := conn.Write(frame)
	switch {
	case err == nil:
		return nil
	case n == 0:
		return &linkError{client.ClassUnsent, err}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &linkError{client.ClassDeadline, err}
	}
	return &linkError{client.ClassLost, err}
}

func (d *direct) recv(p []byte) (int, error) {
	n, err := d.conn.Read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, &linkError{client.ClassDeadline, fmt.Errorf("no reply from %s in time", d.addr)}
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("%s closed the connection without a whole reply (does it speak another framing? see --framing)", d.addr)
	}
	return n, &linkError{client.ClassLost, err}
}

func (d *direct) close() {
	if d.conn != nil {
		_ = d.conn.Close()
	}
}

// byFile is the way that the host's address file names.
type byFile struct {
	c    *client.Client
	t    *client.Transport
	path string // of the address file, as far as it was named here
}

// openFile finds the proxy by the address file at path; "" leaves it to package client.
func openFile(path string, timeout time.Duration, maxFrame int) (*byFile, error) {
	c, err := client.New(client.Options{AddressFile: path, Timeout: timeout, MaxFrame: maxFrame, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	t := c.NewTransport()
	return &byFile{c: c, t: t, path: path}, t.Open()
}

func (f *byFile) send(ctx context.Context, frame []byte) error {
	if _, err := f.t.Write(frame); err != nil {
		return f.failed(err, client.ClassUnsent)
	}
	if err := f.t.Flush(ctx); err != nil {
		return f.failed(err, client.ClassUnsent)
	}
	return nil
}

func (f *byFile) recv(p []byte) (int, error) {
	n, err := f.t.Read(p)
	if err != nil {
		return n, f.failed(err, client.ClassLost)
	}
	return n, nil
}

func (f *byFile) failed(err error, class client.Class) error {
	if c := client.ClassOf(err); c != client.ClassOK {
		class = c
	}
	var ce *client.Error
	if errors.As(err, &ce) { // its text repeats the class
		err = ce.Cause
		if ce.Target != "" {
			err = fmt.Errorf("%s: %w", ce.Target, err)
		}
	}
	if class == client.ClassUnsent {
		err = fmt.Errorf("%w (is `bellhop local` running? name its run directory with --run-dir, or a server with --addr)", err)
	}
	return &linkError{class, err}
}

func (f *byFile) close() {
	_ = f.t.Close()
	_ = f.c.Close()
}
