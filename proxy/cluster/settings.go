package cluster

import (
	"slices"
	"strconv"

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
		yesNo("idempotent", c.Idempotent([]byte(method)), slices.Contains(s.Idempotent, method)),
		yesNo("oneway", c.Oneway([]byte(method)), slices.Contains(s.Oneway, method)),
		yesNo("ordered", c.Ordered, s.Ordered),
		yesNo("remote", c.MayRemote, s.Remote),
	}
}

func yesNo(name string, is, said bool) Setting {
	s := Setting{Name: name, Value: "no", Said: said}
	if is {
		s.Value = "yes"
	}
	return s
}
