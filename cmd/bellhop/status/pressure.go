package status

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/admin"
	"github.com/bellhop-mesh/bellhop/proxy"
)

// pressed says how hard pressed the proxy is and what it does about it; nothing while it is not and never was.
func pressed(b *strings.Builder, s *admin.Status) {
	p := &s.Pressure
	pressure(b, p)
	if len(p.Moved) > 0 {
		keys := slices.Sorted(maps.Keys(p.Moved))
		more := ""
		if len(keys) > 5 {
			keys, more = keys[:5], fmt.Sprintf(" and %d more", len(keys)-5)
		}
		fmt.Fprintf(b, "asked to use the remote tier: %s%s\n", strings.Join(keys, ", "), more)
	}
	done := map[string]uint64{}
	for name, n := range s.Measures {
		if n > 0 {
			done[name] = n
		}
	}
	if len(done) > 0 {
		fmt.Fprintf(b, "to protect itself since the start: calls%s\n", by(done))
	}
}

// pressure is how hard pressed a proxy is now.
func pressure(b *strings.Builder, p *proxy.Pressure) {
	if p.ToRemoteS > 0 {
		fmt.Fprintf(b, "DRAINED TO THE REMOTE TIER %s; bellhop drain --cancel ends it\n", admin.ToRemote(p.ToRemoteS, p.ByRule))
	}
	if p.Number > 0 {
		fmt.Fprintf(b, "UNDER PRESSURE: %s for %s, because of %s (%.3g measured, pressure %.2f); %s\n", p.Level,
			time.Duration(p.SinceS*float64(time.Second)).Round(time.Second), p.Reason, p.Measured[p.Reason], p.Pressure, p.Next)
	}
}
