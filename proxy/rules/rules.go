package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/registry"
)

// Rules are one document, read. Immutable: safe for concurrent use.
type Rules struct {
	Digest string // the beginning of the SHA-256 of the bytes, in hex: the same on all hosts that have the same document
	Data   []byte // the document as it was read; not to be changed

	defaults registry.Service // what the registry leaves open
	exact    map[string]*entry
	prefixes []prefixed // the longest first
	zones    zones
	govern   *govern.Rules
	hosts    []host
}

// Size says how many services, or beginnings of names, how many zones and how many hosts, or beginnings of names, the document
// speaks of.
func (r *Rules) Size() (services, zones, hosts int) {
	return len(r.exact) + len(r.prefixes), len(r.zones.hosts) + len(r.zones.networks), len(r.hosts)
}

// prefixed is the entry of a name that ends in *.
type prefixed struct {
	prefix string
	*entry
}

// entry is what the document says of a service, or of those whose names begin alike.
type entry struct {
	settings registry.Service // what is zero was not said; a list that is empty and not nil says "none"
	zone     *bool            // prefer_zone; nil: not said
	weights  []weight
}

// weight gives endpoints a weight; the first that matches counts.
type weight struct {
	addr, version, zone string // "": any
	labels              map[string]string
	weight              int // 0: takes no calls
}

func (w *weight) matches(e *registry.Endpoint) bool {
	if w.addr != "" && w.addr != e.Addr || w.version != "" && w.version != e.Version || w.zone != "" && w.zone != e.Zone {
		return false
	}
	for k, v := range w.labels {
		if have, ok := e.Labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// digestOf is the short form: 64 bits tell versions of a document apart that nobody forges.
func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// entries returns what is said of a service, the most exact first.
func (r *Rules) entries(name string) []*entry {
	var out []*entry
	if e := r.exact[name]; e != nil {
		out = append(out, e)
	}
	for _, p := range r.prefixes {
		if strings.HasPrefix(name, p.prefix) {
			out = append(out, p.entry)
		}
	}
	return out
}

// zones say where hosts are: by name, or by network.
type zones struct {
	hosts    map[string]string
	networks map[netip.Prefix]string
	bits     []int // lengths of prefixes that there are, the longest first
}

func (z *zones) empty() bool { return len(z.hosts) == 0 && len(z.networks) == 0 }

func (z *zones) addNetwork(p netip.Prefix, zone string) {
	z.networks[p] = zone
	if !slices.Contains(z.bits, p.Bits()) {
		z.bits = append(z.bits, p.Bits())
		slices.SortFunc(z.bits, func(a, b int) int { return b - a })
	}
}

// of returns the zone of an endpoint: by the name of its host, by the host in its address, by the smallest network that
// holds the address; "" when nothing says.
func (z *zones) of(e *registry.Endpoint) string {
	if zone := z.hosts[strings.ToLower(e.Host)]; zone != "" {
		return zone
	}
	if strings.HasPrefix(e.Addr, "unix:") {
		return ""
	}
	if ap, err := netip.ParseAddrPort(e.Addr); err == nil {
		ip := ap.Addr().Unmap().WithZone("")
		if len(z.hosts) > 0 { // an address as text costs an allocation
			if zone := z.hosts[ip.String()]; zone != "" {
				return zone
			}
		}
		for _, bits := range z.bits {
			p, err := ip.Prefix(bits)
			if err != nil { // longer than an IPv4 address
				continue
			}
			if zone := z.networks[p]; zone != "" {
				return zone
			}
		}
		return ""
	}
	if i := strings.LastIndexByte(e.Addr, ':'); i > 0 {
		return z.hosts[strings.ToLower(e.Addr[:i])]
	}
	return ""
}
