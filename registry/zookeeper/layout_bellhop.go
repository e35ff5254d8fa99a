package zookeeper

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/bellhop-mesh/bellhop/registry"
)

// The bellhop layout: the name is the address, the data says the rest, and no data says nothing.
//
//	/bellhop/services/com.example.Hello/10.0.0.5:9090   {"weight":100,"zone":"a","version":"1.2","host":"node-7",
//	                                                     "labels":{"team":"shop"},"framing":"framed-binary","mode":"exclusive"}
//	/bellhop/remotes/10.0.0.7:7300                      {"zone":"a","weight":100}
type bellhopNode struct {
	Weight  int               `json:"weight,omitempty"`
	Zone    string            `json:"zone,omitempty"`
	Host    string            `json:"host,omitempty"`
	Version string            `json:"version,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Framing string            `json:"framing,omitempty"`
	Mode    string            `json:"mode,omitempty"`
}

func parseBellhop(child string, data []byte) (member, error) {
	var n bellhopNode
	if len(data) > 0 {
		if err := decodeJSON(data, &n); err != nil {
			return member{}, err
		}
	}
	return n.member(child), nil
}

func (n *bellhopNode) member(addr string) member {
	if len(n.Labels) == 0 {
		n.Labels = nil
	}
	return member{registry.Endpoint{
		Addr: addr, Weight: n.Weight, Zone: n.Zone, Host: n.Host, Version: n.Version, Labels: n.Labels, Framing: n.Framing,
	}, n.Mode}
}

func nodeOf(m member) bellhopNode {
	e := &m.endpoint
	return bellhopNode{Weight: e.Weight, Zone: e.Zone, Host: e.Host, Version: e.Version, Labels: e.Labels, Framing: e.Framing, Mode: m.mode}
}

// The dapeng layout (dapeng-soa's registry): the name is everything; the data is empty. Registrars that create
// sequential nodes append a counter.
//
//	/soa/runtime/services/com.demo.Hello/10.0.0.5:9090:1.0.0
//	/soa/runtime/services/com.demo.Hello/10.0.0.5:9090:1.0.0:0000000017
func parseDapeng(child string) (member, error) {
	parts := strings.Split(child, ":")
	if len(parts) == 4 && len(parts[3]) == 10 && strings.Trim(parts[3], "0123456789") == "" {
		parts = parts[:3]
	}
	if len(parts) != 3 || parts[2] == "" {
		return member{}, fmt.Errorf("is called %q; dapeng's instances are called ip:port:version", clip(child))
	}
	m := member{endpoint: registry.Endpoint{Addr: parts[0] + ":" + parts[1], Version: parts[2]}}
	return m, m.check(rules{})
}

// encode is the name and the data of an instance that is registered on behalf of a service, and which has passed check.
// The name depends on the address (in dapeng the version, too) alone, so that a successor takes over the very node.
func (l Layout) encode(service, additional string, m member) (child string, data []byte, err error) {
	e := &m.endpoint
	switch l {
	case Dapeng:
		if strings.Count(e.Addr, ":") != 1 {
			return "", nil, fmt.Errorf("dapeng's instances are called ip:port:version, which has no room for the IPv6 address %s; write an IPv4 address or a host name", e.Addr)
		}
		child = e.Addr + ":" + cmp.Or(e.Version, "1.0.0")
		if _, err := parseDapeng(child); err != nil {
			return "", nil, err
		}
		return child, nil, nil
	case Curator:
		return encodeCurator(service, m)
	case ServerSet:
		return encodeServerSet(additional, m)
	}
	data, err = json.Marshal(nodeOf(m))
	return e.Addr, data, err
}
