package main

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller is one epoll instance. One goroutine only.
type poller struct {
	fd     int
	events [256]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return &poller{fd: fd}, nil
}

func (p *poller) close() { _ = unix.Close(p.fd) }

// watch reports what happens at fd under id, from now on or, when it is watched already, anew.
func (p *poller) watch(fd int, id int32, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: id}
	err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &ev)
	if errors.Is(err, unix.EEXIST) {
		err = unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, &ev)
	}
	return err
}

// wait returns what happened, at most after ms milliseconds.
func (p *poller) wait(ms int) ([]unix.EpollEvent, error) {
	n, err := unix.EpollWait(p.fd, p.events[:], ms)
	if errors.Is(err, unix.EINTR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("epoll_wait: %w", err)
	}
	return p.events[:n], nil
}

// waitExactly is wait with a time that is kept to the microsecond (exactly), and without telling the Go scheduler, which
// would take the thread's processor away and have to give it back, at several times the price of the call.
func (p *poller) waitExactly(d time.Duration) ([]unix.EpollEvent, error) {
	ts := unix.NsecToTimespec(int64(d))
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)),
		uintptr(unsafe.Pointer(&ts)), 0, 0)
	switch e {
	case 0:
		return p.events[:n], nil
	case unix.EINTR:
		return nil, nil
	}
	return nil, fmt.Errorf("epoll_pwait2: %w", e)
}

// exactly prepares this thread for waitExactly: without the kernel's timer slack of 50 µs, and with a processor for the other
// goroutines, since ours is never given up. The function that it returns undoes that.
func exactly() (back func()) {
	const usual = 0 // the kernel's default again
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(max(2, before))
	return func() {
		runtime.GOMAXPROCS(before)
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, usual, 0, 0, 0)
	}
}

// ticker makes a descriptor that becomes readable every interval.
func ticker(interval time.Duration) (int, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("timerfd_create: %w", err)
	}
	ts := unix.NsecToTimespec(int64(interval))
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: ts, Value: ts}, nil); err != nil {
		return -1, errors.Join(fmt.Errorf("timerfd_settime: %w", err), unix.Close(fd))
	}
	return fd, nil
}

// recv and send are for sockets that never block: the Go scheduler need not know of them, and the kernel's socket calls
// are cheaper than its read and write.
func recv(fd int, b []byte) (int, error) { return rawIO(unix.SYS_RECVFROM, fd, b, 0) }

func send(fd int, b []byte) (int, error) { return rawIO(unix.SYS_SENDTO, fd, b, unix.MSG_NOSIGNAL) }

func rawIO(trap uintptr, fd int, b []byte, flags uintptr) (int, error) {
	for {
		n, _, e := unix.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), flags, 0, 0)
		if e == 0 {
			return int(n), nil
		}
		if e != unix.EINTR {
			return 0, e
		}
	}
}

// takeFD takes the descriptor out of a net.Conn, non-blocking, and closes the rest of it.
func takeFD(c net.Conn) (int, error) {
	defer func() { _ = c.Close() }()
	sc, ok := c.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("%T has no descriptor", c)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd, dupErr := -1, error(nil)
	if err := raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return -1, err
	}
	if dupErr != nil {
		return -1, fmt.Errorf("dup: %w", dupErr)
	}
	return fd, unix.SetNonblock(fd, true)
}
