package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"

	"golang.org/x/sys/unix"
)

// users are the user ids that connections are made by, in turn; none: our own.
//
//	connect() under euid N ─► the kernel keeps N as the socket's SO_PEERCRED ─► the source "uid:N" of a proxy
type users struct{ first, n int }

// parseUsers reads FIRST-LAST; "" is none.
func parseUsers(s string, target address) (users, error) {
	if s == "" {
		return users{}, nil
	}
	var first, last int
	if n, err := fmt.Sscanf(s, "%d-%d", &first, &last); n != 2 || err != nil || first < 1 || last < first || last > 1<<31-2 {
		return users{}, fmt.Errorf("--uids %q: write FIRST-LAST, like 100000-100999", s)
	}
	if target.network != "unix" {
		return users{}, fmt.Errorf("--uids with %s: only a unix socket tells its peer's user", target)
	}
	if unix.Geteuid() != 0 {
		return users{}, errors.New("--uids: only root can connect as somebody else")
	}
	return users{first, last - first + 1}, nil
}

// dial makes connection i. Safe for concurrent use.
func (u users) dial(ctx context.Context, to address, i int) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	if u.n == 0 {
		return d.DialContext(ctx, to.network, to.addr)
	}
	// The user belongs to a thread. A dial of a unix socket connects on the thread that asks for it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := threadUser(u.first + i%u.n); err != nil {
		return nil, err
	}
	c, err := d.DialContext(ctx, to.network, to.addr)
	if back := threadUser(0); back != nil { // such a thread must not go on as somebody else
		panic(back)
	}
	return c, err
}

// threadUser sets the effective user of this thread only; the real and the saved one stay root, so there is a way back.
func threadUser(uid int) error {
	const keep = ^uintptr(0)
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(uid), keep); e != 0 {
		return fmt.Errorf("setresuid %d: %w", uid, e)
	}
	return nil
}
