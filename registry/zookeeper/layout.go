package zookeeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bellhop-mesh/bellhop/registry"
)

// Layout is how services lie in an ensemble. Each is one file of this package, with the format drawn beside its decoder.
type Layout string

// The layouts.
const (
	Bellhop   Layout = "bellhop"
	Dapeng    Layout = "dapeng"
	Curator   Layout = "curator"
	ServerSet Layout = "serverset"
)

// Layouts are all of them.
func Layouts() []Layout { return []Layout{Bellhop, Dapeng, Curator, ServerSet} }

// Root is the path of a service in this layout, where the configuration names none; {service} stands for its name.
func (l Layout) Root() string {
	switch l {
	case Dapeng:
		return "/soa/runtime/services/{service}"
	case Curator:
		return "/services/{service}"
	case ServerSet:
		return "/serverset/{service}"
	}
	return "/bellhop/services/{service}"
}

// The bounds of one instance's node. What is beyond them is no instance, and is counted.
const (
	maxData   = 64 << 10 // bytes of its data
	maxLabels = 64
	maxText   = 1024 // bytes of a name or a label
	maxAddr   = 512  // bytes of an address: a host name has at most 253 (RFC 1035)
)

// member is one instance as its node tells it.
type member struct {
	endpoint registry.Endpoint
	mode     string // how connections to it are used; "": not said
}

// rules are what a node is judged by beside its layout.
type rules struct {
	framing func(word string) error // which framing words there are; nil: every word passes
	port    string                  // serverset: the additional endpoint that speaks Thrift; "": the service endpoint
}

var modes = []string{"per-call", "exclusive", "multiplexed"} // the most careful first

// parse reads one instance's node. false without an error: a node that is none, or one that takes no calls.
func (l Layout) parse(child string, data []byte, r rules) (member, bool, error) {
	if len(data) > maxData {
		return member{}, false, fmt.Errorf("has %d bytes of data; an instance has at most %d", len(data), maxData)
	}
	var m member
	ok := true
	var err error
	switch l {
	case Dapeng:
		m, err = parseDapeng(child)
	case Curator:
		m, ok, err = parseCurator(data)
	case ServerSet:
		m, ok, err = parseServerSet(child, data, r.port)
	default:
		m, err = parseBellhop(child, data)
	}
	if err != nil || !ok {
		return member{}, false, err
	}
	if err := m.check(r); err != nil {
		// What others wrote for themselves, and what we only read along, does not cost an instance its calls.
		addr := m.endpoint.Addr
		if m = (member{endpoint: registry.Endpoint{Addr: addr}}); l == Bellhop || m.check(r) != nil {
			return member{}, false, err
		}
	}
	return m, true, nil
}

// interesting says whether a child may be an instance, by its name alone: what is not is never read.
func (l Layout) interesting(child string) bool {
	switch l {
	case Bellhop:
		_, err := registry.CanonicalAddr(child)
		return err == nil
	case Dapeng:
		_, err := parseDapeng(child)
		return err == nil
	case ServerSet:
		return strings.HasPrefix(child, memberPrefix)
	}
	return true
}

// dataless says whether a child's name is all there is to know.
func (l Layout) dataless() bool { return l == Dapeng }

// check brings the address into its one spelling and judges everything else.
func (m *member) check(r rules) error {
	e := &m.endpoint
	if len(e.Addr) > maxAddr { // what is wrong with it would be told with all its bytes
		return fmt.Errorf("its address has %d bytes; write at most %d", len(e.Addr), maxAddr)
	}
	addr, err := registry.CanonicalAddr(e.Addr)
	if err != nil {
		return fmt.Errorf("its address %q %w", clip(e.Addr), err)
	}
	if strings.HasPrefix(addr, "unix:") {
		return errors.New("its address is a unix socket; other hosts can't reach it; write host:port")
	}
	e.Addr = addr
	if e.Weight < 0 || e.Weight > 1000 {
		return fmt.Errorf("its weight is %d; write 1 to 1000, or leave it out", e.Weight)
	}
	if len(e.Labels) > maxLabels {
		return fmt.Errorf("it has %d labels; write at most %d", len(e.Labels), maxLabels)
	}
	for _, s := range []string{e.Zone, e.Host, e.Version} {
		if err := plain(s); err != nil {
			return err
		}
	}
	for k, v := range e.Labels {
		if err := errors.Join(plain(k), plain(v)); err != nil {
			return err
		}
	}
	if m.mode != "" && !slices.Contains(modes, m.mode) {
		return fmt.Errorf("its mode is %q; write one of %s", clip(m.mode), strings.Join(modes, ", "))
	}
	if e.Framing != "" && r.framing != nil {
		if err := r.framing(e.Framing); err != nil {
			return fmt.Errorf("its framing: %w", err)
		}
	}
	return plain(e.Framing)
}

// plain: texts go into logs, metrics and the last-known-good file.
func plain(s string) error {
	if len(s) > maxText {
		return fmt.Errorf("it has a text of %d bytes; write at most %d", len(s), maxText)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		return fmt.Errorf("it has the text %q; write UTF-8 without control characters", clip(s))
	}
	return nil
}

// clip shortens what is shown of other people's text.
func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}

// decodeJSON takes what it knows and leaves the rest: the nodes of an ensemble are written by programs of many ages.
func decodeJSON(data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("its data is no JSON of this layout: %w", err)
	}
	return nil
}

// assemble makes a service of its instances, oldest first. Two nodes may name one address, as after a restart whose
// old session has not ended: the younger one counts. Where instances disagree on the mode the most careful one is used.
func (l Layout) assemble(name, framing string, list []member) *registry.Service {
	s := &registry.Service{Name: name, Framing: framing}
	if l == Dapeng && framing == "" {
		s.Framing = "dapeng"
	}
	at := make(map[string]int, len(list))
	s.Endpoints = make([]registry.Endpoint, 0, len(list))
	for _, m := range list {
		if i, ok := at[m.endpoint.Addr]; ok {
			s.Endpoints[i] = m.endpoint
		} else {
			at[m.endpoint.Addr] = len(s.Endpoints)
			s.Endpoints = append(s.Endpoints, m.endpoint)
		}
		if m.mode != "" && (s.Mode == "" || slices.Index(modes, m.mode) < slices.Index(modes, s.Mode)) {
			s.Mode = m.mode
		}
	}
	return s
}
