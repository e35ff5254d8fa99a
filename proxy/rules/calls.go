package rules

import (
	"fmt"
	"runtime"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/registry/strict"
)

// This file reads rules: and sources:, which package govern applies to calls.

// The bounds of what rules may say, beside govern.MaxRules.
const (
	maxSources = 1000
	maxValues  = 64 // in one list
	maxNot     = 16
)

// Govern returns the rules for calls; they are the same at each call, and never nil.
func (r *Rules) Govern() *govern.Rules { return r.govern }

func (p *parser) callRules(a at) {
	lines := map[string]int{}
	const more = "rules; write lists of values, or patterns that end in *"
	p.listOf(a, "a list of rules, like [{name: slow, match: {service: demo.*}, deadline: 2s}]", govern.MaxRules, more, func(v at) {
		runtime.Gosched() // an event loop may need this CPU
		before := p.Report.Len()
		r := p.callRule(v)
		switch first := lines[r.Name]; {
		case p.Report.Len() > before: // told already
		case r.Name == "":
			p.Wrong(v, "has no name; write name: and a word that tells it from other rules in faults and metrics")
		case first > 0:
			p.Wrong(v, "has the name %q, which the rule in line %d has; write another", strict.Clip(r.Name), first)
		default:
			p.list = append(p.list, r)
		}
		if r.Name != "" && lines[r.Name] == 0 {
			lines[r.Name] = v.Node.Line
		}
	})
}

// maxRuleName bounds a rule's name, in bytes: it is in faults and a label of metrics.
const maxRuleName = 64

func checkRuleName(s string) error {
	if len(s) > maxRuleName {
		return fmt.Errorf("has %d bytes; write at most %d", len(s), maxRuleName)
	}
	return nil
}

func (p *parser) callRule(a at) (r govern.Rule) {
	before := p.Report.Len()
	ok := p.Mapping(a, "a mapping with name, match and what is wanted", strict.Fields{
		strict.Key("name", p.Judged(&r.Name, "a word that tells the rule from others", checkRuleName)),
		strict.Key("match", func(v at) { r.Match = p.callMatch(v) }),
		strict.Key("deadline", p.Duration(&r.Deadline, minWait, maxWait)),
		strict.Key("retry", func(v at) { r.Retry = p.retry(v) }),
		strict.Key("limit", func(v at) { r.Limit = p.limit(v) }),
		strict.Key("breaker", func(v at) { r.Breaker = p.breaker(v) }),
		strict.Key("access", func(v at) { r.Access = p.access(v) }),
		strict.Key("split", func(v at) { r.Split = p.split(v) }),
		strict.Key("subset", func(v at) {
			if has(a.Node, "split") {
				p.Wrong(v, "stands beside split; keep one of the two")
				return
			}
			r.Split = p.subset(v)
		}),
		strict.Key("remote", func(v at) {
			r.Remote = new(bool)
			p.Boolean(r.Remote)(v)
		}),
	})
	if ok && p.Report.Len() == before && !speaks(&r) {
		p.Wrong(a, "wants nothing; write one of deadline, retry, limit, breaker, access, split, subset, remote")
	}
	return r
}

func speaks(r *govern.Rule) bool {
	for a := range govern.Action(govern.NumActions) {
		if r.Speaks(a) {
			return true
		}
	}
	return false
}

// has reports whether a mapping has a key.
func has(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

func (p *parser) callMatch(a at) (m govern.Match) {
	fields := append(p.callCondition(&m.Condition), strict.Key("not", func(v at) { m.Not = p.not(v, p.callCondition) }))
	if ok := p.Mapping(a, "a mapping with service, method, version, caller, source, namespace, workload, unit, pod_labels, header or not", fields); ok && len(a.Node.Content) == 0 {
		p.Wrong(a, "is empty; leave match: out if the rule is for every call")
	}
	return m
}

// callCondition are the keys of what a call can be matched by.
func (p *parser) callCondition(c *govern.Condition) strict.Fields {
	return append(strict.Fields{
		strict.Key("service", p.patterns(&c.Service)),
		strict.Key("method", p.patterns(&c.Method)),
		strict.Key("version", p.patterns(&c.Version)),
		strict.Key("caller", p.patterns(&c.Caller)),
	}, append(p.sourceCondition(c), strict.Key("header", p.named(&c.Header, headerKeys)))...)
}

// sourceCondition are the keys of what a source can be matched by.
func (p *parser) sourceCondition(c *govern.Condition) strict.Fields {
	return strict.Fields{
		strict.Key("source", p.patterns(&c.Source)),
		strict.Key("namespace", p.patterns(&c.Namespace)),
		strict.Key("workload", p.patterns(&c.Workload)),
		strict.Key("unit", p.patterns(&c.Unit)),
		strict.Key("pod_labels", p.named(&c.PodLabels, "labels")),
	}
}

// not reads one condition, or a list of them.
func (p *parser) not(a at, fields func(*govern.Condition) strict.Fields) (out []govern.Condition) {
	p.oneOrMore(a, maxNot, "exclusions; write lists of values in them", func(v at) {
		var c govern.Condition
		if ok := p.Mapping(v, "a mapping with keys as in match, or a list of them", fields(&c)); ok && len(v.Node.Content) == 0 {
			p.Wrong(v, "is empty, which would exclude everything; write what is excluded")
		}
		out = append(out, c)
	})
	return out
}

func (p *parser) notNone(a at) {
	if len(a.Node.Content) == 0 {
		p.Wrong(a, "is an empty list; write something in it, or leave the key out")
	}
}

// patterns reads one pattern or a list of them.
func (p *parser) patterns(into *govern.Patterns) func(at) {
	return func(a at) {
		p.oneOrMore(a, maxValues, "values; write a pattern that ends in *, or ~ and a regular expression", func(v at) {
			s, ok := p.Text(v, "a text, the beginning of one and *, or ~ and a regular expression")
			if !ok {
				return
			}
			pattern, err := govern.ParsePattern(s)
			if err != nil {
				p.Wrong(v, "%v", err)
				return
			}
			*into = append(*into, pattern)
		})
	}
}

const headerKeys = "header keys"

// named reads a mapping of names to patterns.
func (p *parser) named(into *[]govern.Named, what string) func(at) {
	return func(a at) {
		ok := p.Entries(a, "a mapping of "+what+" to values, like {team: shop}", func(key *yaml.Node, v at) {
			if len(*into) == maxValues {
				p.Wrong(v, "is beyond the bound of %d %s", maxValues, what)
				return
			}
			if !p.Name(key, v) {
				return
			}
			if what == headerKeys && strings.HasPrefix(key.Value, "bellhop-") {
				p.Wrong(v, "is a key of the proxy's own, which no call of a caller has; match by another")
			}
			n := govern.Named{Key: key.Value}
			p.patterns(&n.Patterns)(v)
			*into = append(*into, n)
		})
		if ok && len(a.Node.Content) == 0 {
			p.Wrong(a, "is empty; write %s, or leave the key out", what)
		}
	}
}

func (p *parser) sourceRules(a at) {
	const more = "sources; write lists of values, or patterns that end in *"
	p.listOf(a, "a list of sources, like [{match: {namespace: shop}, weight: 4}]", maxSources, more, func(v at) {
		var s govern.SourceRule
		ok := p.Mapping(v, "a mapping with match and weight, workload_weight or privileged", strict.Fields{
			strict.Key("match", func(v at) {
				fields := append(p.sourceCondition(&s.Match), strict.Key("not", func(v at) { s.Not = p.not(v, p.sourceCondition) }))
				if ok := p.Mapping(v, "a mapping with source, namespace, workload, unit, pod_labels or not", fields); ok && len(v.Node.Content) == 0 {
					p.Wrong(v, "is empty; leave match: out to speak of every source")
				}
			}),
			strict.Key("weight", p.Integer(&s.Weight, 1, 1000)),
			strict.Key("workload_weight", p.Integer(&s.WorkloadWeight, 1, 1000)),
			strict.Key("privileged", p.Boolean(&s.Privileged)),
		})
		if ok && !has(v.Node, "weight") && !has(v.Node, "workload_weight") && !has(v.Node, "privileged") {
			p.Wrong(v, "says nothing of the sources; write weight, workload_weight or privileged")
		}
		p.sources = append(p.sources, s)
	})
}
