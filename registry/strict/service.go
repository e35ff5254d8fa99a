package strict

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// The bounds of a service's settings.
const (
	maxPool    = 1_000_000
	maxDepth   = 65_536
	minTimeout = time.Millisecond
	maxTimeout = time.Hour
)

// Settings are the keys that say how a service is called, the same wherever they may stand. least is the least of the
// numbers: 0 where it means "not said". framing judges the word of a framing: its error says what to write; nil takes
// every word.
func (p *Reader) Settings(s *registry.Service, least int, framing func(word string) error) Fields {
	return Fields{
		Key("framing", p.Judged(&s.Framing, "the name of a framing, like framed-binary", framing)),
		Key("mode", p.Word(&s.Mode, "exclusive", "multiplexed", "per-call")),
		Key("balancer", p.Word(&s.Balancer, "least-active", "round-robin", "random", "p2c")),
		Key("timeout", p.Duration(&s.Timeout, minTimeout, maxTimeout)),
		Key("oneway", p.Names(&s.Oneway, "method")),
		Key("idempotent", p.Names(&s.Idempotent, "method")),
		Key("max_connections", p.Integer(&s.MaxConns, least, maxPool)),
		Key("max_pending", p.Integer(&s.MaxPending, least, maxPool)),
		Key("depth", p.Integer(&s.Depth, least, maxDepth)),
		Key("slow_start", p.durationOrOff(&s.SlowStart, minTimeout, maxTimeout)),
		Key("panic", p.shareOrOff(&s.Panic)),
		Key("zone_spill", p.Factor(&s.ZoneSpill, maxSpill)),
		Key("ejection", p.ejection(&s.Ejection)),
	}
}

// Judged reads a text that a judge takes, who may be nil.
func (p *Reader) Judged(into *string, want string, judge func(string) error) func(At) {
	return func(a At) {
		s, ok := p.Text(a, want)
		if !ok {
			return
		}
		if judge != nil {
			if err := judge(s); err != nil {
				p.Wrong(a, "%v", err)
				return
			}
		}
		*into = s
	}
}

// Only returns the fields of these keys, in their own order.
func (fs Fields) Only(keys ...string) Fields {
	return slices.DeleteFunc(slices.Clone(fs), func(f Field) bool { return !slices.Contains(keys, f.key) })
}

// CheckCIDR judges a network. Its error says what to write.
func CheckCIDR(s string) error {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return errors.New("write a network, like 10.0.0.0/8 or fd00::/8")
	}
	if p.Masked() != p {
		return fmt.Errorf("has bits outside of its mask; write %s", p.Masked())
	}
	return nil
}
