package rules

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/registry/strict"
)

// The bounds, far beyond any document that was meant.
const (
	version     = 1
	maxItems    = 300_000 // separators: bounds the memory of the tree
	maxServices = 10_000
	maxWeights  = 1000 // of one service
	maxZones    = 10_000
)

// Problems is the error of a document that can't be used: all that is wrong with it, by line.
type Problems = strict.Problems

type at = strict.At

// Parse reads a document; name is what it is called in problems. The error is Problems. Safe for concurrent use.
func Parse(name string, data []byte) (*Rules, error) {
	if len(data) > registry.MaxDocument {
		return nil, Problems{{File: name, Text: fmt.Sprintf("has more than %d bytes; make it smaller: entries that end in * speak of many services", registry.MaxDocument)}}
	}
	report := &strict.Report{}
	p := &parser{Reader: strict.Reader{File: name, Report: report}, rules: &Rules{
		Digest: digestOf(data), Data: data, exact: map[string]*entry{},
		zones: zones{hosts: map[string]string{}, networks: map[netip.Prefix]string{}},
	}}
	if root, ok := p.Root(data, maxItems, "to say that there are no rules, write version: 1"); ok {
		p.document(root)
	}
	if err := report.Err(); err != nil {
		return nil, err
	}
	p.rules.govern = govern.New(p.list, p.sources)
	return p.rules, nil
}

type parser struct {
	strict.Reader
	rules   *Rules
	list    []govern.Rule
	sources []govern.SourceRule
}

func (p *parser) document(root at) {
	said := false
	ok := p.Mapping(root, "a mapping with version, defaults, services, zones, rules, sources and hosts", strict.Fields{
		strict.Key("version", func(a at) { said = true; p.version(a) }),
		strict.Key("defaults", p.defaults),
		strict.Key("services", p.services),
		strict.Key("zones", p.zones),
		strict.Key("rules", p.callRules),
		strict.Key("sources", p.sourceRules),
		strict.Key("hosts", p.hosts),
	})
	if ok && !said {
		p.Wrong(root, "has no version; write version: %d", version)
	}
	slices.SortFunc(p.rules.prefixes, func(a, b prefixed) int { return len(b.prefix) - len(a.prefix) })
}

func (p *parser) version(a at) {
	if a.Node.Kind != yaml.ScalarNode || a.Node.ShortTag() != "!!int" || a.Node.Value != fmt.Sprint(version) {
		p.Wrong(a, "is %s; this program knows version %d", strict.Show(a.Node), version)
	}
}

func (p *parser) defaults(a at) {
	fields := p.Settings(&p.rules.defaults, 1, nil).Only("timeout", "balancer", "max_connections", "max_pending", "depth",
		"slow_start", "panic", "zone_spill", "ejection")
	p.Mapping(a, "a mapping of settings, or {}", fields)
}

func (p *parser) services(a at) {
	n := 0
	p.Entries(a, "a mapping of services, or {} for none", func(key *yaml.Node, v at) {
		runtime.Gosched() // an event loop may need this CPU
		if n++; n > maxServices {
			if n == maxServices+1 {
				p.Wrong(v, "is beyond the bound of %d services; write entries that end in *", maxServices)
			}
			return
		}
		if !p.Name(key, v) {
			return
		}
		prefix, wild := strings.CutSuffix(key.Value, "*")
		if strings.Contains(prefix, "*") {
			p.Wrong(at{Node: key, Path: v.Path}, "has a * before its end; write a name, or the beginning of names with one * at the end")
			return
		}
		e := p.service(v)
		if wild {
			p.rules.prefixes = append(p.rules.prefixes, prefixed{prefix, e})
			return
		}
		p.rules.exact[key.Value] = e
	})
}

func (p *parser) service(a at) *entry {
	e := &entry{}
	p.Mapping(a, "a mapping of settings, or {}", append(p.Settings(&e.settings, 1, checkFraming), strict.Fields{
		strict.Key("prefer_zone", func(v at) {
			prefer := new(bool)
			p.Boolean(prefer)(v)
			e.zone = prefer
		}),
		strict.Key("weights", func(v at) { e.weights = p.weights(v) }),
	}...))
	return e
}

func checkFraming(word string) error {
	_, err := protocol.ParseWire(word)
	return err
}

func checkCIDR(s string) error {
	if err := strict.CheckCIDR(s); err != nil {
		return fmt.Errorf("is %q: %w", strict.Clip(s), err)
	}
	return nil
}

// listOf reads a list of at most so many items. more names them, and says what to write instead of more of them.
func (p *parser) listOf(a at, want string, most int, more string, read func(v at)) {
	p.List(a, want, func(i int, v at) {
		switch {
		case i < most:
			read(v)
		case i == most:
			p.Wrong(v, "is beyond the bound of %d %s", most, more)
		}
	})
}

// oneOrMore reads one item, or a list of them that is not empty.
func (p *parser) oneOrMore(a at, most int, more string, read func(v at)) {
	if a.Node.Kind != yaml.SequenceNode {
		read(a)
		return
	}
	p.listOf(a, "", most, more, read)
	p.notNone(a)
}

func (p *parser) weights(a at) []weight {
	out := []weight{}
	p.listOf(a, "a list of weights, like [{match: {version: v2}, weight: 5}]", maxWeights, "weights; match by version, zone or labels", func(v at) {
		var w weight
		var matched, weighed bool
		ok := p.Mapping(v, "a mapping with match and weight", strict.Fields{
			strict.Key("match", func(v at) { matched = true; p.match(v, &w) }),
			strict.Key("weight", func(v at) { weighed = true; p.Integer(&w.weight, 0, 1000)(v) }),
		})
		if ok && !matched {
			p.Wrong(v, "has no match; write match: with addr, version, zone or labels")
		}
		if ok && !weighed {
			p.Wrong(v, "has no weight; write weight: 0 to 1000, where 0 takes no calls and 100 is usual")
		}
		out = append(out, w)
	})
	return out
}

func (p *parser) match(a at, w *weight) {
	ok := p.Mapping(a, "a mapping with addr, version, zone or labels", strict.Fields{
		strict.Key("addr", p.Addr(&w.addr, false)),
		strict.Key("version", p.String(&w.version, "a version")),
		strict.Key("zone", p.String(&w.zone, "the name of a zone")),
		strict.Key("labels", func(v at) { w.labels = p.Labels(v) }),
	})
	if ok && len(a.Node.Content) == 0 {
		p.Wrong(a, "is empty; write addr, version, zone or labels")
	}
}

func (p *parser) zones(a at) {
	lines := map[string]int{}
	p.listOf(a, "a list of zones, like [{cidr: 10.1.0.0/16, zone: a}]", maxZones, "zones; write larger networks", func(v at) {
		var cidr, host, zone string
		before := p.Report.Len()
		ok := p.Mapping(v, "a mapping with zone and either cidr or host", strict.Fields{
			strict.Key("cidr", p.Judged(&cidr, "a network, like 10.1.0.0/16", checkCIDR)),
			strict.Key("host", p.String(&host, "the name or the address of a host")),
			strict.Key("zone", p.String(&zone, "the name of a zone")),
		})
		switch what := cidr + host; {
		case !ok || p.Report.Len() > before: // told already
		case zone == "":
			p.Wrong(v, "has no zone; write zone: and its name")
		case (cidr == "") == (host == ""):
			p.Wrong(v, "has both of cidr and host, or neither; write one of them")
		case lines[what] > 0:
			p.Wrong(v, "is %q again, which line %d has; keep one of the two", strict.Clip(what), lines[what])
		default:
			lines[what] = v.Node.Line
			p.rules.addZone(cidr, host, zone)
		}
	})
}

func (r *Rules) addZone(cidr, host, zone string) {
	if host != "" {
		host = strings.ToLower(host)
		if ip, err := netip.ParseAddr(host); err == nil { // in its one spelling
			host = ip.Unmap().String()
		}
		r.zones.hosts[host] = zone
		return
	}
	if prefix, err := netip.ParsePrefix(cidr); err == nil { // it was judged
		r.zones.addNetwork(prefix, zone)
	}
}
