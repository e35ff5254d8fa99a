package cluster

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// Setting is something that is in force for the calls of one method.
type Setting struct {
	Name, Value string // the service's key
	Said        bool   // the service says so, by its registry or by the rules; else it is a default
}

// Settings lists what is in force for a method, the most asked for first. Safe for concurrent use.
func (c *Cluster) Settings(method string) []Setting {
	s := c.from
	if s == nil {
		s = &registry.Service{}
	}
	return []Setting{
		{"timeout", c.Timeout.String(), s.Timeout > 0},
		{"mode", c.Mode.String(), s.Mode != ""},
		{"balancer", c.balancer.String(), s.Balancer != ""},
		{"max_connections", strconv.Itoa(c.MaxConns), s.MaxConns > 0},
		{"max_pending", strconv.Itoa(c.MaxPending), s.MaxPending > 0},
		{"depth", strconv.Itoa(c.Depth), s.Depth > 0},
		c.health("slow_start", s.SlowStart != 0),
		c.health("zone_spill", s.ZoneSpill != 0),
		c.health("panic", s.Panic != 0),
		c.health("ejection", s.Ejection != registry.Ejection{}),
		yesNo("idempotent", c.Idempotent([]byte(method)), slices.Contains(s.Idempotent, method)),
		yesNo("oneway", c.Oneway([]byte(method)), slices.Contains(s.Oneway, method)),
		yesNo("ordered", c.Ordered, s.Ordered),
		yesNo("remote", c.MayRemote, s.Remote),
	}
}

// health is what is in force of the settings about health.
func (c *Cluster) health(name string, said bool) Setting {
	s := Setting{Name: name, Value: "off", Said: said}
	switch e := &c.eject; {
	case name == "slow_start" && c.slowStart:
		s.Value = time.Duration(c.warmFor).String()
	case name == "zone_spill" && c.spill > 0:
		s.Value = fmt.Sprintf("%.3g times the healthy share", c.spill)
	case name == "panic" && c.panicAt > 0:
		s.Value = fmt.Sprintf("below %.3g%% healthy", c.panicAt*100)
	case name == "ejection" && e.maxShare > 0 && (e.errors > 0 || e.slow > 0):
		var why []string
		if e.errors > 0 {
			why = append(why, fmt.Sprintf("%.3g%% failed", e.errors*100))
		}
		if e.slow > 0 {
			why = append(why, fmt.Sprintf("%.2g times slower", math.Exp2(float64(e.slow)/perOctave)))
		}
		s.Value = fmt.Sprintf("%s; at most %.3g%% of them, for %s…%s", strings.Join(why, " or "), e.maxShare*100,
			time.Duration(e.span.base), time.Duration(e.span.most))
	}
	return s
}

// Service returns what the cluster was compiled from; nil: the remote proxies. It must not be changed. Safe for concurrent
// use.
func (c *Cluster) Service() *registry.Service { return c.from }

func yesNo(name string, is, said bool) Setting {
	s := Setting{Name: name, Value: "no", Said: said}
	if is {
		s.Value = "yes"
	}
	return s
}
