package proxy

import (
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// LimitState is how much a limit allows now.
type LimitState struct {
	Rule       string `json:"rule"`
	Key        string `json:"key"`   // what it counts for
	Limit      string `json:"limit"` // as the rule has it
	Left       int    `json:"left"`  // calls that the rate allows at once; -1: it is not bounded
	InFlight   int    `json:"calls_in_flight"`
	Waiting    int    `json:"calls_waiting"`
	WaitMS     int64  `json:"wait_ms"`    // until the rate allows the next; 0: now; -1: when a call ends
	Excess     string `json:"excess"`     // what becomes of calls beyond it
	Privileged bool   `json:"privileged"` // the source passes it
}

// explainRules tells what the rules in force say of a call. Off the loops.
func (p *Proxy) explainRules(x *Explanation, q *Query, m *protocol.Message, src *source) {
	rules, known := p.Rules(), src.known()
	call := &govern.Call{Version: m.Version, Caller: m.Caller, Header: m}
	x.Rules = rules.Explain(q.Service, q.Method, known, call)
	r := rules.Resolve(q.Service, q.Method, known, govern.Uncounted)
	d := r.For(call)
	x.Policy = d.Policy.Says()
	now := p.clock()
	for i, l := range d.Policy.Limits {
		b := d.Bucket(i, m.Caller, now)
		wait, left, flying := b.Look(now)
		s := LimitState{
			Rule: l.Rule, Key: b.Key, Limit: l.String(), Left: left, InFlight: flying, Waiting: b.Waiting(), WaitMS: wait,
			Excess: l.Excess.String(), Privileged: r.Privileged,
		}
		if wait > 0 {
			s.WaitMS = (time.Duration(wait) + time.Millisecond - 1).Milliseconds()
		}
		x.Limits = append(x.Limits, s)
	}
}
