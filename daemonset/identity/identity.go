// Package identity tells who is calling: the source that limits, fairness, metrics and `move` are keyed by.
//
//	unix peer: SO_PEERCRED, SO_PEERPIDFD ─► /proc/<pid>/cgroup ─► pod UID | container | systemd unit | uid:N
//	TCP peer:  this node's own address ─► node
//	           a pod's address (Resolver) ─► that pod
//	           any other ─► ip:ADDR, if a configured CIDR lets it in at all (Allowed)
//
// An identity is what the kernel or the cluster says, fixed when the connection is accepted; nothing that the caller
// sends is looked at here. A source can't choose its key, nor make more than one: that is why everything below a
// user's slice, where users create cgroups as they like, is one source, and why the outermost match of a path wins.
//
// What a process's cgroup file said is kept for a second (remember.go): callers in PHP connect for every call.
package identity

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Kind is what a source is.
type Kind uint8

// The kinds, the most telling first.
const (
	Pod       Kind = iota + 1 // a Kubernetes pod; Key is its UID
	Container                 // a container outside of Kubernetes; Key is container:ID
	Unit                      // a systemd unit; Key is its name
	User                      // anything else that has a user; Key is uid:N
	Node                      // this node, over TCP; Key is node
	Address                   // another address that is let in; Key is ip:ADDR
)

var kindWords = [...]string{"unknown", "pod", "container", "unit", "user", "node", "address"}

func (k Kind) String() string { return kindWords[k] }

// Source is who calls. Comparable.
type Source struct {
	// Key is unique on this host; it is what the source knows as BELLHOP_SOURCE (a pod's UID, a unit's name).
	Key string
	// Workload is the set of sources it is one of: shares are given by workload first. Never empty.
	Workload string
	Kind     Kind
	// Hidden: the kernel showed pid 0, since the peer is not in this process's pid namespace; in Kubernetes the proxy
	// needs hostPID. Key is then only the user. The caller logs it, once.
	Hidden bool
}

// Resolver knows the pods of this node. Safe for concurrent use.
type Resolver interface {
	// PodByIP is the pod with this address, only while it is neither finished nor deleted.
	PodByIP(netip.Addr) (Source, bool)
	// PodByUID is the pod with this UID, as cgroups name it (a static pod's is the hash of its manifest).
	PodByUID(uid string) (Source, bool)
}

// Identifier identifies peers. Set its fields before use; then it is safe for concurrent use.
type Identifier struct {
	// Local are this node's addresses.
	Local *LocalAddrs
	// Pods may be nil: then a pod is known by its cgroup only, and is its own workload.
	Pods Resolver
	// Allow are further networks that TCP callers may come from.
	Allow []netip.Prefix
	// Proc is where the proc file system is; /proc when empty.
	Proc string

	seen remember
	now  func() time.Time // time.Now when nil
}

// FromUnix identifies the peer of an accepted unix connection. It may read a file in /proc: not for the loop. The error
// means that not even the kernel's credentials could be had; the connection should be closed.
func (id *Identifier) FromUnix(conn *net.UnixConn) (Source, error) {
	rc, err := conn.SyscallConn()
	if err != nil {
		return Source{}, fmt.Errorf("identity: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	pidfd := -1
	err = rc.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		// Linux 6.5 and later; without it a pid that was given to another process can't be told apart.
		if n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEERPIDFD); err == nil {
			pidfd = n
		}
	})
	if pidfd >= 0 {
		defer unix.Close(pidfd)
	}
	if err := errors.Join(err, credErr); err != nil {
		return Source{}, fmt.Errorf("identity: peer credentials: %w", err)
	}
	return id.fromCred(cred.Pid, cred.Uid, pidfd), nil
}

// fromCred goes from the kernel's credentials to a source. pidfd is -1 where the kernel has none.
func (id *Identifier) fromCred(pid int32, uid uint32, pidfd int) Source {
	s := user(uid)
	if pid == 0 {
		s.Hidden = true
		return s
	}
	found, ok := id.ofProcess(pid, pidfd)
	if !ok {
		return s
	}
	if found.Kind == Pod && id.Pods != nil {
		if known, ok := id.Pods.PodByUID(found.Key); ok {
			return known
		}
	}
	return found
}

// ofProcess is the source that the cgroup of a process names; false when there is none, or when it can't be read.
func (id *Identifier) ofProcess(pid int32, pidfd int) (Source, bool) {
	now := time.Now()
	if id.now != nil {
		now = id.now()
	}
	who, unique := id.seen.identify(pid, pidfd)
	if unique {
		if s, ok := id.seen.get(who, now); ok {
			return s, s.Kind != 0
		}
	}
	b, err := id.readCgroup(pid)
	if err != nil {
		return Source{}, false // it ended already, or hides its proc
	}
	// Was it still the peer when its cgroup was read? Then the pid was not another's.
	if pidfd >= 0 && unix.PidfdSendSignal(pidfd, 0, nil, 0) == unix.ESRCH {
		return Source{}, false
	}
	s, ok := parseCgroup(b)
	if unique {
		id.seen.put(who, s, now)
	}
	return s, ok
}

// maxCgroup bounds /proc/<pid>/cgroup: a line for each of at most 16 hierarchies, each with a path.
const maxCgroup = 64 << 10

// readCgroup reads by plain system calls: an os.File would be offered to epoll, which proc's files refuse.
func (id *Identifier) readCgroup(pid int32) ([]byte, error) {
	proc := id.Proc
	if proc == "" {
		proc = "/proc"
	}
	fd, err := unix.Open(proc+"/"+strconv.Itoa(int(pid))+"/cgroup", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	b := make([]byte, 0, 2048)
	for len(b) < maxCgroup {
		n, err := unix.Read(fd, b[len(b):cap(b)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
		case n <= 0:
			return b, nil
		}
		if b = b[:len(b)+n]; len(b) == cap(b) {
			b = slices.Grow(b, len(b))
		}
	}
	return b[:maxCgroup], nil
}

func user(uid uint32) Source {
	key := "uid:" + strconv.FormatUint(uint64(uid), 10)
	return Source{Key: key, Workload: key, Kind: User}
}

// FromTCP identifies the peer at addr. Everything on this node that comes over TCP and has no address of its own is
// one source: there is no telling its parts apart.
func (id *Identifier) FromTCP(addr netip.Addr) Source {
	addr = plain(addr)
	if id.Local.Contains(addr) {
		return Source{Key: "node", Workload: "node", Kind: Node}
	}
	if id.Pods != nil {
		if s, ok := id.Pods.PodByIP(addr); ok {
			return s
		}
	}
	key := "ip:" + addr.String()
	return Source{Key: key, Workload: key, Kind: Address}
}

// Allowed reports whether a TCP caller from addr may be served: this node, its pods, and the configured networks. A
// proxy that all of a host shares must not be an open relay.
func (id *Identifier) Allowed(addr netip.Addr) bool {
	addr = plain(addr)
	if id.Local.Contains(addr) {
		return true
	}
	for _, p := range id.Allow {
		if p.Contains(addr) {
			return true
		}
	}
	if id.Pods == nil {
		return false
	}
	_, ok := id.Pods.PodByIP(addr)
	return ok
}

// plain is the address without a zone, and an IPv4 one as such.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// LocalAddrs are the addresses of this node. The loopback networks always belong to it. Safe for concurrent use; a nil
// one knows the loopback only.
type LocalAddrs struct {
	set atomic.Pointer[map[netip.Addr]bool]
}

// NewLocalAddrs starts with the given addresses; Refresh replaces them by those of the interfaces.
func NewLocalAddrs(list ...netip.Addr) *LocalAddrs {
	l := new(LocalAddrs)
	l.store(list)
	return l
}

// Refresh reads the addresses of all interfaces. They change while a node runs: call it from time to time. On an error
// the old ones stand.
func (l *LocalAddrs) Refresh() error {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("identity: addresses of this node: %w", err)
	}
	var list []netip.Addr
	for _, a := range found {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				list = append(list, addr)
			}
		}
	}
	l.store(list)
	return nil
}

func (l *LocalAddrs) store(list []netip.Addr) {
	set := make(map[netip.Addr]bool, len(list))
	for _, a := range list {
		set[plain(a)] = true
	}
	l.set.Store(&set)
}

// Contains reports whether addr is one of this node's.
func (l *LocalAddrs) Contains(addr netip.Addr) bool {
	addr = plain(addr)
	if addr.IsLoopback() {
		return true
	}
	return l != nil && (*l.set.Load())[addr]
}
