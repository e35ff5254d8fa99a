package kubernetes

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bellhop-mesh/bellhop/registry"
)

// slice is what is kept of an EndpointSlice. It is not changed once it was made.
type slice struct {
	metav1.ObjectMeta // namespace, name and resourceVersion only

	service   string // the name of its Service; "": none
	family    string // IPv4, IPv6 or FQDN
	ports     []slicePort
	endpoints []endpoint
}

type slicePort struct {
	name string
	port int32 // 0: every port
}

// endpoint is one entry of a slice: kept small, since there are tens of thousands.
type endpoint struct {
	addr       string // without a port
	uid        string // of the pod; "": it is none
	node, zone unique.Handle[string]
	state      condition
}

// condition is what an entry's conditions come to.
type condition uint8

const (
	down    condition = iota // neither ready nor serving, and not on its way out: it may come back
	ending                   // on its way out, and does not serve any more
	leaving                  // on its way out, and serves until then
	serving                  // serves, although it does not count as ready
	ready
)

// conditionOf reads conditions as the API means them: a ready that nobody set is true, a serving that nobody set is as
// ready. What terminates is never ready, whatever ready says (a Service with publishNotReadyAddresses says so of all).
func conditionOf(c discoveryv1.EndpointConditions) condition {
	isReady := c.Ready == nil || *c.Ready
	serves := isReady
	if c.Serving != nil {
		serves = *c.Serving
	}
	terminating := c.Terminating != nil && *c.Terminating
	switch {
	case terminating && serves:
		return leaving
	case terminating:
		return ending
	case isReady:
		return ready
	case serves:
		return serving
	}
	return down
}

// shrinkSlice keeps of an EndpointSlice what is needed. It takes what it returned, too.
func shrinkSlice(obj any) (any, error) {
	switch s := obj.(type) {
	case *slice:
		return s, nil
	case *discoveryv1.EndpointSlice:
		return readSlice(s), nil
	}
	return nil, unexpected(obj)
}

func readSlice(s *discoveryv1.EndpointSlice) *slice {
	out := &slice{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name, ResourceVersion: s.ResourceVersion},
		service:    s.Labels[discoveryv1.LabelServiceName], family: string(s.AddressType),
	}
	for _, p := range s.Ports {
		if p.Protocol != nil && *p.Protocol != corev1.ProtocolTCP {
			continue
		}
		var port slicePort
		if p.Name != nil {
			port.name = *p.Name
		}
		if p.Port != nil {
			port.port = *p.Port
		}
		out.ports = append(out.ports, port)
	}
	out.endpoints = make([]endpoint, 0, len(s.Endpoints))
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		if len(e.Addresses) == 0 {
			continue // the API server refuses such
		}
		n := endpoint{addr: strings.Clone(e.Addresses[0]), state: conditionOf(e.Conditions), node: text(e.NodeName), zone: text(e.Zone)}
		if t := e.TargetRef; t != nil && (t.Kind == "Pod" || t.Kind == "") {
			n.uid = string(t.UID)
		}
		out.endpoints = append(out.endpoints, n)
	}
	return out
}

func text(s *string) unique.Handle[string] {
	if s == nil {
		return unique.Make("")
	}
	return unique.Make(*s)
}

func (s *slice) key() string   { return s.Namespace + "/" + s.Name }
func (s *slice) owner() string { return s.Namespace + "/" + s.service }

// portOf is the port of a slice's endpoints on which a Service is called. Ports of one name may differ between slices: a
// Service may name a port that its pods number otherwise.
func portOf(s *kubeService, l *slice) (int32, error) {
	if s.port == "" {
		switch {
		case len(l.ports) == 1 && l.ports[0].port != 0:
			return l.ports[0].port, nil
		case len(l.ports) == 1:
			return 0, fmt.Errorf("its slice %s stands for every port; name one by the annotation %sport", l.Name, prefix)
		case len(l.ports) == 0:
			return 0, fmt.Errorf("its slice %s has no TCP port; name its number by the annotation %sport", l.Name, prefix)
		}
		return 0, fmt.Errorf("it has %d TCP ports (%s); name one by the annotation %sport", len(l.ports), portNames(l.ports), prefix)
	}
	n, err := strconv.ParseUint(s.port, 10, 16)
	if err != nil || n == 0 {
		return l.named(s.port)
	}
	for _, p := range s.ports { // the Service's own number first: it is what its users know
		if p.port == int32(n) {
			return l.named(p.name)
		}
	}
	for _, p := range l.ports {
		if p.port == int32(n) || p.port == 0 {
			return int32(n), nil
		}
	}
	if len(l.ports) == 0 { // a headless Service needs no ports
		return int32(n), nil
	}
	return 0, fmt.Errorf("the annotation %sport is %s, which neither the Service nor its slice %s has (%s)", prefix, s.port, l.Name, portNames(l.ports))
}

// has says whether the slice has this port.
func (s *slice) has(port int32) bool {
	return port != 0 && slices.ContainsFunc(s.ports, func(p slicePort) bool { return p.port == port })
}

func (s *slice) named(name string) (int32, error) {
	for _, p := range s.ports {
		if p.name == name && p.port != 0 {
			return p.port, nil
		}
	}
	return 0, fmt.Errorf("the annotation %sport asks for the TCP port %q, which its slice %s does not have (%s)", prefix, clip(name), s.Name, portNames(s.ports))
}

func portNames(ports []slicePort) string {
	var b strings.Builder
	for i, p := range ports {
		if i == 8 {
			b.WriteString(", …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %d", p.name, p.port)
	}
	if b.Len() == 0 {
		return "it has none"
	}
	return b.String()
}

// join is the address of an endpoint in its one spelling; false when it is none that can be called.
func join(addr string, port int32) (string, bool) {
	if len(addr) > maxName {
		return "", false
	}
	a, err := registry.CanonicalAddr(net.JoinHostPort(addr, strconv.Itoa(int(port))))
	return a, err == nil
}
