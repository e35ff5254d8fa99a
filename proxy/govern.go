package proxy

import (
	"strings"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/remote"
)

// This file does with a call what the rules say of it (package govern), between admit and choose.

// SetRules puts rules in force; workers take them up with their next batch. Limits that the rules before have just so keep
// their state. nil: there are none. Safe for concurrent use.
func (p *Proxy) SetRules(r *govern.Rules) {
	p.rulesMu.Lock()
	defer p.rulesMu.Unlock()
	if old := p.rules.Load(); old != r {
		r.Inherit(old)
		p.rules.Store(r)
	}
}

// Rules returns the rules in force; nil: there are none. Safe for concurrent use.
func (p *Proxy) Rules() *govern.Rules { return p.rules.Load() }

// noPolicy is that of a proxy without rules.
var noPolicy govern.Policy

// govern does with an admitted call what the rules say, and goes on with choose unless they forbid, delay or divert it. Its
// service is known. Loop only.
func (w *worker) govern(c *call, m *protocol.Message) {
	c.policy = &noPolicy
	if w.rules == nil || ownService(c.cluster.Name) {
		w.choose(c, m)
		return
	}
	r := w.resolve(c)
	d := r.For(&govern.Call{Version: m.Version, Caller: m.Caller, Header: m})
	c.policy = &d.Policy
	w.choose(c, m)
}

// ownService reports whether a service is the proxy's own, which rules say nothing of.
func ownService(name string) bool { return strings.HasPrefix(name, remote.Service+".") }
