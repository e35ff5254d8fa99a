package daemonset

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
)

// ListenAdmin listens for the admin side, which has no authentication: on a unix socket that only this process's user
// can open, or on a loopback address. Anything else is refused.
func ListenAdmin(addr string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return listenPrivate(path)
	}
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("admin: %q is neither unix:/path nor an address with a port", addr)
	}
	if !ap.Addr().IsLoopback() {
		return nil, fmt.Errorf("admin: %s is not a loopback address: refused, since whoever reaches it may see everything", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	return l, nil
}

// listenPrivate binds under another name, sets the mode and renames, so that the path is never there with another mode.
func listenPrivate(path string) (net.Listener, error) {
	tmp := fmt.Sprintf("%s.%d.new", path, os.Getpid())
	_ = os.Remove(tmp) // left by a predecessor with our pid
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("admin: listen on %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	if err = os.Chmod(tmp, 0o600); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = l.Close()
		_ = os.Remove(tmp)
		return nil, fmt.Errorf("admin: listen on %s: %w", path, err)
	}
	return l, nil
}
