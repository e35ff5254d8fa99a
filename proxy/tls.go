package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A TLS connection can't be enrolled with a loop. It is terminated in goroutines of its own and joined with the loop by
// a socketpair: two more copies, for hand-off connections only.

// tlsHandshake is the type of a TLS handshake record, the first byte of every TLS connection. As the first byte of a
// frame's length it would announce 352 MiB or more, and no other framing begins with it.
const tlsHandshake = 0x16

// beginsTLS waits for the first byte, and leaves it where it is.
func beginsTLS(life context.Context, conn net.Conn, within time.Duration) (bool, error) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false, errors.New("the connection has no descriptor to look at")
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(life, within)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) }) // ends the wait below
	defer stop()                                                                         // before cancel
	var first [1]byte
	var n int
	var peekErr error
	err = rc.Read(func(fd uintptr) bool {
		n, _, peekErr = unix.Recvfrom(int(fd), first[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return peekErr != unix.EAGAIN && peekErr != unix.EINTR
	})
	if err = errors.Join(err, peekErr); err != nil {
		return false, fmt.Errorf("waiting for the first byte: %w", err)
	}
	return n == 1 && first[0] == tlsHandshake, nil
}

// overTLSServer does the server's side of the handshake and returns the loop's end of the pair. verified: the client
// showed a certificate that the configuration verifies.
func overTLSServer(life context.Context, conn net.Conn, cfg *tls.Config, within time.Duration) (loop net.Conn, verified bool, err error) {
	ctx, cancel := context.WithTimeout(life, within)
	defer cancel()
	t := tls.Server(conn, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error tells more
		return nil, false, err
	}
	loop, err = bridge(t, life.Done())
	return loop, len(t.ConnectionState().VerifiedChains) > 0, err
}

// overTLSClient does the client's side.
func overTLSClient(ctx context.Context, conn net.Conn, cfg *tls.Config, done <-chan struct{}) (net.Conn, error) {
	if cfg.ServerName == "" && !cfg.InsecureSkipVerify {
		cfg = cfg.Clone()
		host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
		if err != nil {
			return nil, err
		}
		cfg.ServerName = host
	}
	t := tls.Client(conn, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error tells more
		return nil, err
	}
	return bridge(t, done)
}

// bridge copies between t and one end of a socketpair, whose other end it returns. Either side's end, or done, ends both.
func bridge(t net.Conn, done <-chan struct{}) (net.Conn, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		_ = t.Close()
		return nil, err
	}
	ours, err := connOfFD(fds[0], "tls-bridge")
	if err != nil {
		_ = t.Close()
		_ = unix.Close(fds[1])
		return nil, err
	}
	loop, err := connOfFD(fds[1], "tls-bridge")
	if err != nil {
		_ = t.Close()
		_ = ours.Close()
		return nil, err
	}
	over := make(chan struct{}, 2)
	pump := func(dst, src net.Conn) {
		_, _ = io.Copy(dst, src) // either side's end is the end of both
		over <- struct{}{}
	}
	go pump(ours, t)
	go pump(t, ours)
	go func() {
		select {
		case <-over:
		case <-done:
		}
		_ = ours.Close()
		_ = t.Close()
	}()
	return loop, nil
}
