package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// One call a connection (--per-call): the loop itself replaces a connection that has carried its call, without waiting.
// The generator closes first, as callers do.
//
//	reply ─► close ─► connect (not awaited) ─► the next call is written when the connection takes it

// replace closes the connection of a line whose call has ended and begins the next one. The latency of the next call
// counts from before its connection is asked for.
func (g *generator) replace(l *line) error {
	if g.stopped {
		return nil
	}
	begun := g.now()
	_ = unix.Close(l.fd)
	l.up = false
	fd, err := dialNow(g.target)
	if err != nil { // such as a full backlog: the slow way, which tries again
		if g.counts() {
			g.res.fail("connect", err, 1)
		}
		g.dialling++
		go func() { g.dialled <- dialled{id: l.id, err: err} }()
		return nil
	}
	if err := g.opened(l, fd); err != nil {
		return err
	}
	if g.o.rate == 0 {
		g.start(l, begun, begun)
	} else {
		g.pace()
	}
	return nil
}

// dialNow begins a connection. What is sent before it stands waits, as EAGAIN says.
func dialNow(a address) (int, error) {
	family, to, err := sockaddr(a)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if a.network == "tcp" {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err == nil {
		err = unix.Connect(fd, to)
	}
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return -1, errors.Join(fmt.Errorf("connect: %w", err), unix.Close(fd))
	}
	return fd, nil
}

// sockaddr needs numbers: a name would have to be looked up for every call.
func sockaddr(a address) (family int, to unix.Sockaddr, err error) {
	if a.network == "unix" {
		return unix.AF_UNIX, &unix.SockaddrUnix{Name: a.addr}, nil
	}
	ap, err := netip.ParseAddrPort(a.addr)
	if err != nil {
		return 0, nil, fmt.Errorf("--per-call needs an address in numbers: %w", err)
	}
	if ip := ap.Addr(); ip.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ip.As4()}, nil
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(ap.Port()), Addr: ap.Addr().As16()}, nil
}

// resolve gives a target that is a name the numbers that --per-call needs.
func resolve(a address) (address, error) {
	if a.network == "unix" {
		return a, nil
	}
	t, err := net.ResolveTCPAddr("tcp", a.addr)
	if err != nil {
		return a, err
	}
	if t.IP == nil {
		t.IP = net.IPv4(127, 0, 0, 1)
	}
	ap := t.AddrPort()
	a.addr = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()).String()
	return a, nil
}
