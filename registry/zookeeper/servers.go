package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ParseServers reads a connect string: host:port, separated by commas, and perhaps a chroot.
//
//	zk1.example:2181,zk2.example:2181,[fd00::3]:2181/shop
//
// A server without a port has 2181. The error says what to write instead.
func ParseServers(s string) (servers []string, chroot string, err error) {
	list := s
	if i := strings.IndexByte(s, '/'); i >= 0 {
		list, chroot = s[:i], strings.TrimSuffix(s[i:], "/")
		if chroot != "" {
			if err := CheckPath(chroot); err != nil {
				return nil, "", fmt.Errorf("its chroot %q %w", clip(chroot), err)
			}
		}
	}
	for _, one := range strings.Split(list, ",") {
		host, port, err := net.SplitHostPort(one)
		if err != nil {
			host, port = strings.Trim(one, "[]"), "2181"
			if strings.Count(host, ":") == 1 {
				return nil, "", fmt.Errorf("has the server %q; write host:port, separated by commas", clip(one))
			}
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" || strings.ContainsAny(host, " \t\r\n") {
			return nil, "", fmt.Errorf("has the server %q; write host:port, separated by commas", clip(one))
		}
		servers = append(servers, net.JoinHostPort(host, port))
	}
	return servers, chroot, nil
}

// CheckPath judges a path of a node as the configuration names it. The error completes "the path …".
func CheckPath(p string) error {
	if !strings.HasPrefix(p, "/") || p == "/" || len(p) > maxText {
		return errors.New("is no path of a node; write one like /bellhop/services")
	}
	for _, part := range strings.Split(p[1:], "/") {
		if part == "" || part == "." || part == ".." || plain(part) != nil {
			return fmt.Errorf("has the part %q; write names between single slashes", clip(part))
		}
	}
	return nil
}

// The times of connecting that nobody needs to set.
const (
	connectTimeout = 3 * time.Second
	resolveTimeout = 3 * time.Second
	firstPause     = time.Second      // after all servers failed; doubles up to
	lastPause      = 15 * time.Second // this
)

// hosts is the library's HostProvider, which resolves names once and reconnects at once. Here names are resolved anew
// whenever all known addresses have failed, and a host pauses for a random while before it goes to another server: when
// a server ends, thousands of hosts lose it in the same moment.
type hosts struct {
	names   []string
	resolve func(ctx context.Context, host string) ([]string, error)
	jitter  time.Duration // the longest pause before the first reconnect
	pause   func(time.Duration)
	problem func(error) // a name that can't be resolved

	mu      sync.Mutex // guards what follows
	addrs   []string
	of      map[string]string // address → the host it was resolved from: certificates name hosts
	next    int
	rounds  int  // without a success
	started bool // was connected before
}

// Init is called by the library, once; the names are ours already.
func (h *hosts) Init([]string) error { return nil }

// Len is how many addresses are known.
func (h *hosts) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.addrs)
}

// Next returns the address to try now; true makes the library fail the requests that wait and rest a second. It is
// called on the library's goroutine, which has nothing else to do.
func (h *hosts) Next() (string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	failed := false
	if h.next >= len(h.addrs) {
		failed = len(h.addrs) > 0
		if failed {
			h.rounds++
			h.pause(rand.N(min(firstPause<<min(h.rounds-1, 8), lastPause)))
		}
		h.addrs, h.next = h.lookUp(), 0
	} else if h.next == 0 && h.started {
		h.pause(rand.N(max(h.jitter, 1)))
	}
	addr := h.addrs[h.next]
	h.next++
	return addr, failed
}

// Connected is called when a session stands: the next loss begins a fresh round at another server.
func (h *hosts) Connected() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rounds, h.started = 0, true
	if n := h.next; n > 0 && n <= len(h.addrs) {
		h.addrs = append(h.addrs[n:len(h.addrs):len(h.addrs)], h.addrs[:n]...)
	}
	h.next = 0
}

// lookUp resolves all names; one that can't be resolved is tried by its name, so that the error is seen again and again.
func (h *hosts) lookUp() []string {
	var out []string
	h.of = map[string]string{}
	for _, name := range h.names {
		host, port, _ := net.SplitHostPort(name) // ParseServers has judged it
		ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
		ips, err := h.resolve(ctx, host)
		cancel()
		if err != nil || len(ips) == 0 {
			h.problem(fmt.Errorf("resolve %s: %w", host, err))
			out = append(out, name)
			h.of[name] = host
			continue
		}
		for _, ip := range ips {
			addr := net.JoinHostPort(ip, port)
			out = append(out, addr)
			h.of[addr] = host
		}
	}
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// host is the name that an address was resolved from.
func (h *hosts) host(addr string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.of[addr]
}
