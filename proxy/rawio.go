package proxy

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Two system calls without the Go wrappers around them. Both never block, so the scheduler need not be told, and
// neither may allocate: unix.Recvfrom makes an address for every call, and gnet's Write goes by write(2), which is
// dearer than sendto(2) on a socket. Measured on a unix socket: about a tenth of the CPU of a call.

// send writes what the kernel takes at once. A short count is not an error.
func send(fd int, b []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), e
}

// silent reports whether a socket is open and has nothing to read.
func silent(fd int) bool {
	var b [1]byte
	_, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), 1,
		unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	return e == unix.EAGAIN || e == unix.EINTR
}
