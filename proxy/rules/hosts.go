package rules

import (
	"strings"

	"github.com/bellhop-mesh/bellhop/registry/strict"
)

// maxHosts bounds the entries about hosts.
const maxHosts = 10_000

// host says something of the hosts that match; the first that matches counts.
type host struct {
	name   string // "": any; may end in *
	labels map[string]string
	drain  bool
}

func (h *host) matches(name string, labels map[string]string) bool {
	if prefix, wild := strings.CutSuffix(h.name, "*"); h.name != "" && name != h.name && (!wild || !strings.HasPrefix(name, prefix)) {
		return false
	}
	for k, v := range h.labels {
		if have, ok := labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// Drains reports whether the rules want the calls of this host to go to the remote tier. A nil Rules wants nothing.
func (r *Rules) Drains(name string, labels map[string]string) bool {
	if r == nil {
		return false
	}
	for i := range r.hosts {
		if r.hosts[i].matches(name, labels) {
			return r.hosts[i].drain
		}
	}
	return false
}

func (p *parser) hosts(a at) {
	p.listOf(a, "a list of hosts, like [{match: {labels: {maintenance: yes}}, drain: true}]", maxHosts, "hosts; match by labels, or names that end in *", func(v at) {
		var h host
		var matched, drained bool
		ok := p.Mapping(v, "a mapping with match and drain", strict.Fields{
			strict.Key("match", func(v at) { matched = true; p.host(v, &h) }),
			strict.Key("drain", func(v at) { drained = true; p.Boolean(&h.drain)(v) }),
		})
		if ok && !matched {
			p.Wrong(v, "has no match; write match: with host or labels")
		}
		if ok && !drained {
			p.Wrong(v, "has no drain; write drain: true, and the host's calls go to the remote tier, or drain: false, and they do not")
		}
		p.rules.hosts = append(p.rules.hosts, h)
	})
}

func (p *parser) host(a at, h *host) {
	ok := p.Mapping(a, "a mapping with host or labels", strict.Fields{
		strict.Key("host", p.String(&h.name, "the name of a host, or the beginning of names with a * at its end")),
		strict.Key("labels", func(v at) { h.labels = p.Labels(v) }),
	})
	switch {
	case ok && len(a.Node.Content) == 0:
		p.Wrong(a, "is empty; write host or labels")
	case strings.Contains(strings.TrimSuffix(h.name, "*"), "*"):
		p.Wrong(a, "has a host with a * before its end; write a name, or the beginning of names with one * at the end")
	}
}
