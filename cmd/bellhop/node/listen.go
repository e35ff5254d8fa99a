package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/admin"
	"github.com/bellhop-mesh/bellhop/cmd/bellhop/config"
	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
	"github.com/bellhop-mesh/bellhop/daemonset/identity"
	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy"
)

// place is a listener with where it really listens.
type place struct {
	config.Listener
	actual  string // path or host:port
	framing protocol.Framing
}

// open reports whether any caller can use it: no service of its own, no pinned framing, no TLS.
func (p *place) open() bool {
	return p.Service == "" && p.framing == protocol.FramingUnknown && !p.TLS.Set()
}

func (n *node) listen(context.Context) error {
	for i := range n.Config.Listeners {
		if err := n.listenOne(n.Config.Listeners[i]); err != nil {
			return fmt.Errorf("listener %s: %w", n.Config.Listeners[i].Name, err)
		}
	}
	return n.startSelftest()
}

func (n *node) listenOne(c config.Listener) error {
	p := place{Listener: c}
	var err error
	if p.framing, err = config.ParseFraming(c.Framing); err != nil {
		return &ConfigError{err}
	}
	lc := proxy.ListenerConfig{Name: c.Name, Service: c.Service, Framing: p.framing, Ordered: c.Ordered}
	if c.TLS.Set() {
		if lc.TLS, err = serverTLS(c.TLS, false); err != nil {
			return &ConfigError{err}
		}
	} else if n.Role == config.Remote && c.Net == "tcp" && n.Config.Remote.TLS.Set() {
		// Hand-offs come over TLS and callers that fall back come plain, both to the one address that is registered.
		if lc.TLS, err = serverTLS(n.Config.Remote.TLS, n.Config.Remote.TokenFile != ""); err != nil {
			return &ConfigError{err}
		}
		lc.PlainToo = true
	}
	var l net.Listener
	switch c.Net {
	case "unix":
		l, err = listenUnix(c)
		p.actual = c.Addr
	default:
		l, err = net.Listen("tcp", c.Addr)
		if err == nil {
			p.actual = l.Addr().String()
		}
	}
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%w: another process listens there; write another address under listeners", err)
		}
		return err
	}
	lc.Listener = l
	if err := n.proxy.Listen(lc); err != nil {
		_ = l.Close()
		return err
	}
	n.places = append(n.places, p)
	return nil
}

func listenUnix(c config.Listener) (net.Listener, error) {
	uid, gid, err := owner(c.Owner)
	if err != nil {
		return nil, &ConfigError{fmt.Errorf("owner: %w", err)}
	}
	l, err := proxy.ListenUnix(c.Addr, os.FileMode(config.ParseMode(c.Mode)))
	if err != nil {
		return nil, err
	}
	if uid >= 0 || gid >= 0 {
		if err := os.Lchown(c.Addr, uid, gid); err != nil {
			_ = l.Close()
			return nil, fmt.Errorf("owner: %w", err)
		}
	}
	return l, nil
}

// owner reads user, user:group or :group, by name or number; -1 leaves one as it is.
func owner(s string) (uid, gid int, err error) {
	name, group, _ := strings.Cut(s, ":")
	uid, gid = -1, -1
	if name != "" {
		if uid, err = strconv.Atoi(name); err != nil {
			u, err := user.Lookup(name)
			if err != nil {
				return -1, -1, err
			}
			uid, _ = strconv.Atoi(u.Uid) // a number on every system we run on
		}
	}
	if group != "" {
		if gid, err = strconv.Atoi(group); err != nil {
			g, err := user.LookupGroup(group)
			if err != nil {
				return -1, -1, err
			}
			gid, _ = strconv.Atoi(g.Gid) // a number on every system we run on
		}
	}
	return uid, gid, nil
}

// guestAddrs are the listeners that every guest can use, for the address file.
func guestAddrs(places []place, pub string) []addrfile.Addr {
	out := []addrfile.Addr{} // an empty list, not null: the file is read in many languages
	for i := range places {
		p := &places[i]
		if !p.open() {
			continue
		}
		if p.Net == "tcp" {
			out = append(out, addrfile.Addr{Net: addrfile.TCP, Addr: p.reachable()})
			continue
		}
		if rel, err := filepath.Rel(pub, p.actual); err == nil && filepath.IsLocal(rel) {
			out = append(out, addrfile.Addr{Net: addrfile.Unix, Addr: rel})
		}
	}
	return out
}

// reachable is where a tcp listener can be connected to: what the operator says, or loopback for a wildcard.
func (p *place) reachable() string {
	if p.Advertise != "" {
		return p.Advertise
	}
	ap, err := netip.ParseAddrPort(p.actual)
	if err != nil || !ap.Addr().IsUnspecified() {
		return p.actual
	}
	// [::] takes IPv4 too, and has the loopback that every program can write.
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ap.Port()).String()
}

func describe(places []place) []string {
	out := make([]string, len(places))
	for i := range places {
		out[i] = places[i].Net + ":" + places[i].actual
		if places[i].Service != "" {
			out[i] += " for " + places[i].Service
		}
	}
	return out
}

func listenerStatus(places []place) []admin.Listener {
	out := make([]admin.Listener, len(places))
	for i := range places {
		p := &places[i]
		out[i] = admin.Listener{Name: p.Name, Net: p.Net, Addr: p.actual, Service: p.Service, Framing: p.framing.String(), Ordered: p.Ordered, TLS: p.TLS.Set()}
		if p.framing == protocol.FramingUnknown {
			out[i].Framing = "auto"
		}
	}
	return out
}

// refreshEvery is how often this node's own addresses are read again.
const refreshEvery = 30 * time.Second

func (n *node) newIdentifier() *identity.Identifier {
	local := identity.NewLocalAddrs()
	if err := local.Refresh(); err != nil {
		n.Log.Error("only loopback counts as this node", "error", err)
	}
	n.spawn(func(ctx context.Context) {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(refreshEvery):
				if err := local.Refresh(); err != nil {
					n.Log.Warn("the addresses of this node could not be read again", "error", err)
				}
			}
		}
	})
	id := &identity.Identifier{Local: local, Pods: n.cluster.resolver()}
	for _, s := range n.Config.AllowCIDRs {
		id.Allow = append(id.Allow, netip.MustParsePrefix(s)) // judged when it was read
	}
	return id
}

// newIdentify tells the data plane who is at the other end of an accepted connection. describe may be nil.
func newIdentify(id *identity.Identifier, describe podDescriber, log *slog.Logger) func(net.Conn) (proxy.Identity, error) {
	hidden := sync.OnceFunc(func() {
		log.Warn("the kernel hides who calls: callers are known by their user only",
			"next", "run the proxy in the host's pid namespace (hostPID: true)")
	})
	return func(c net.Conn) (proxy.Identity, error) {
		if u, ok := c.(*net.UnixConn); ok {
			s, err := id.FromUnix(u)
			if err != nil {
				return proxy.Identity{}, err
			}
			if s.Hidden {
				hidden()
			}
			return identityOf(s, describe), nil
		}
		tcp, ok := c.RemoteAddr().(*net.TCPAddr)
		if !ok { // nil when the peer has reset it already
			return proxy.Identity{}, fmt.Errorf("the peer's address %v can't be read", c.RemoteAddr())
		}
		addr := tcp.AddrPort().Addr()
		if !id.Allowed(addr) {
			return proxy.Identity{}, fmt.Errorf("%s is neither this node nor in allow_cidrs", addr)
		}
		s := id.FromTCP(addr)
		return identityOf(s, describe), nil
	}
}

// podDescriber knows more of the pod that a source is: namespace and labels. Safe for concurrent use.
type podDescriber func(uid string) (namespace string, labels map[string]string)

// identityOf is a source as the data plane has it.
func identityOf(s identity.Source, describe podDescriber) proxy.Identity {
	who := proxy.Identity{Source: s.Key, Workload: s.Workload, Crowd: s.Kind == identity.Node || s.Kind == identity.Address}
	switch {
	case s.Kind == identity.Unit:
		who.Unit = s.Key
	case s.Kind == identity.Pod && describe != nil:
		who.Namespace, who.Labels = describe(s.Key)
	}
	return who
}
