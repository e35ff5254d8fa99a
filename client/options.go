package client

import (
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
)

// Options are a Client's. The zero value is right for a guest of a host that runs bellhop.
type Options struct {
	// AddressFile is where the address file is; BELLHOP_ADDRESS_FILE, then addrfile.DefaultPath, when empty.
	AddressFile string
	// Proxy is used while there is no address file: host:port or unix:/path, several with commas; BELLHOP_PROXY when
	// empty.
	Proxy string
	// Source is this caller's key, by which it can be asked to move; BELLHOP_SOURCE when empty.
	Source string
	// Timeout of a call whose context has no deadline; 1 s when 0.
	Timeout time.Duration
	// MaxInFlight bounds the calls and connections in use at a time; 1024 when 0. A call above it waits for its turn.
	MaxInFlight int
	// MaxIdle bounds the idle connections that are kept for each proxy; 128 when 0.
	MaxIdle int
	// MaxFrame bounds a reply, in bytes; 16 MiB when 0.
	MaxFrame int
	// NoInotify looks at the address file once a second instead of waiting for events.
	NoInotify bool
	// Logger gets one line per switch between the tiers; slog.Default() when nil.
	Logger *slog.Logger
}

// The environment of a guest.
const (
	envAddressFile = "BELLHOP_ADDRESS_FILE"
	envProxy       = "BELLHOP_PROXY"
	envSource      = "BELLHOP_SOURCE"
)

func (o *Options) fill() error {
	o.AddressFile = first(o.AddressFile, os.Getenv(envAddressFile), addrfile.DefaultPath)
	o.Proxy = first(o.Proxy, os.Getenv(envProxy))
	o.Source = first(o.Source, os.Getenv(envSource))
	if o.Timeout < 0 || o.MaxInFlight < 0 || o.MaxIdle < 0 || o.MaxFrame < 0 {
		return errors.New("bellhop: options: Timeout, MaxInFlight, MaxIdle and MaxFrame must not be negative")
	}
	o.Timeout = first(o.Timeout, time.Second)
	o.MaxInFlight = first(o.MaxInFlight, 1024)
	o.MaxIdle = first(o.MaxIdle, 128)
	o.MaxFrame = first(o.MaxFrame, 16<<20)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return nil
}

func first[T comparable](list ...T) T {
	var zero T
	for _, v := range list {
		if v != zero {
			return v
		}
	}
	return zero
}

// parseProxy reads BELLHOP_PROXY: host:port|unix:/path[,…].
func parseProxy(s string) ([]endpoint, error) {
	if s == "" {
		return nil, nil
	}
	var out []endpoint
	for _, item := range strings.Split(s, ",") {
		item = strings.TrimSpace(item)
		if path, ok := strings.CutPrefix(item, "unix:"); ok {
			if !strings.HasPrefix(path, "/") {
				return nil, fmt.Errorf("bellhop: %s: %q: want unix: and an absolute path", envProxy, item)
			}
			out = append(out, endpoint{addrfile.Unix, path})
			continue
		}
		host, port, err := net.SplitHostPort(item)
		if err != nil {
			return nil, fmt.Errorf("bellhop: %s: %q: want host:port or unix:/path: %w", envProxy, item, err)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
			return nil, fmt.Errorf("bellhop: %s: %q: want host:port with a port of 1 to 65535", envProxy, item)
		}
		out = append(out, endpoint{addrfile.TCP, item})
	}
	return out, nil
}

// callerHash spreads the callers of a host over its first remote proxies (FNV-1a, 32 bits, as every client does it).
// A caller without a key is its process.
func callerHash(source string) uint32 {
	if source == "" {
		host, _ := os.Hostname()
		source = host + ":" + strconv.Itoa(os.Getpid())
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(source))
	return h.Sum32()
}

// convert turns what the address file says into the rule's words.
func convert(av addrfile.View, source string, fixed []endpoint) view {
	v := view{fixed: fixed}
	if av.File == nil {
		return v
	}
	v.known, v.stale, v.moved = true, av.Stale, av.Moved(source)
	v.draining, v.down = av.File.State == addrfile.Draining, av.File.State == addrfile.Down
	v.local, v.remote = resolve(av.File.Local, av.Dir), resolve(av.File.Remote, av.Dir)
	return v
}

func resolve(list []addrfile.Addr, dir string) []endpoint {
	out := make([]endpoint, len(list))
	for i, a := range list {
		out[i].network, out[i].address = a.Resolve(dir)
	}
	return out
}
