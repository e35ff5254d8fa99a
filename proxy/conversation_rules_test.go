package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/proxy/rules"
)

// The words for rules (testdata/README.md).

// readRules reads a rules document, the section "rules".
func readRules(t testing.TB, text []byte) *rules.Rules {
	r, err := rules.Parse("rules", text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// parseRules is what a rules document says of calls.
func parseRules(t testing.TB, text []byte) *govern.Rules { return readRules(t, text).Govern() }

// obey puts a document in force, over what the registry says now; nil: there are no rules.
func (k *talk) obey(r *rules.Rules) {
	var calls *govern.Rules
	if r != nil {
		calls = r.Govern()
	}
	k.inForce = r
	k.p.SetRules(calls)
	k.setTable(k.over.Apply(k.snap, r))
}

// identityOption is a word of "open" that says who the caller is.
func identityOption(id *Identity, key, val string) bool {
	switch key {
	case "source":
		id.Source = val
	case "workload":
		id.Workload = val
	case "namespace":
		id.Namespace = val
	case "unit":
		id.Unit = val
	default:
		label, ok := strings.CutPrefix(key, "label.")
		if !ok {
			return false
		}
		if id.Labels == nil {
			id.Labels = map[string]string{}
		}
		id.Labels[label] = val
	}
	return true
}

// rulesAtEnd checks that no limit counts a call any more, and that none waits for one.
func (k *talk) rulesAtEnd(t *testing.T) {
	if q := &k.w.limitQueues; len(q.byBucket)+len(q.over)+q.waiting != 0 {
		t.Errorf("left %d queues of limits, %d to be looked at, %d calls waiting", len(q.byBucket), len(q.over), q.waiting)
	}
	for _, s := range k.p.sources.byKey {
		if n := s.queued.Load(); n != 0 {
			t.Errorf("source %s: left %d calls waiting", s.Source, n)
		}
	}
	k.p.Rules().Limits(k.now + int64(time.Hour)) // lets go of all keys that are idle
	for _, l := range k.p.Rules().Limits(k.now) {
		if l.Keys != 0 {
			t.Errorf("the limit of rule %s counts calls of %d keys that have ended", l.Rule, l.Keys)
		}
	}
}

// sharesAtEnd checks that nobody is counted among those who share any more.
func (k *talk) sharesAtEnd(t *testing.T) {
	s, g := &k.w.shares, &k.p.guard
	if len(s.teams)+s.turns.Len() != 0 || k.w.displaced.head() != nil {
		t.Errorf("left %d workloads that share the worker, %d callers waiting for their turn, or calls that had to give way", len(s.teams), s.turns.Len())
	}
	if k.p.active.Load() != 0 || g.granted.Load() != 0 || g.grants.Load() != 0 || g.overflow.Load() != 0 {
		t.Errorf("left a weight of %d, %d calls granted by %d remote proxies, %d handed over to here", k.p.active.Load(), g.granted.Load(), g.grants.Load(), g.overflow.Load())
	}
	for _, s := range k.p.sources.byKey {
		if s.held.Load() != 0 || s.team.active.Load() != 0 || s.team.held.Load() != 0 {
			t.Errorf("source %s: left a weight of %d, its workload %d, %d", s.Source, s.held.Load(), s.team.active.Load(), s.team.held.Load())
		}
	}
	if n := k.w.stats.panics; n != 0 {
		t.Errorf("%d panics", n)
	}
}

// changeRules puts random rules in force, or none, or leaves those that are.
func (c *chance) changeRules() {
	if c.rnd.IntN(3) == 0 {
		return
	}
	var list []govern.Rule
	for i := range c.rnd.IntN(5) {
		r := govern.Rule{Name: fmt.Sprint("rule ", i)}
		for range c.rnd.IntN(3) {
			p, err := govern.ParsePattern(randomService[c.rnd.IntN(len(randomService))].Name)
			if err != nil {
				c.t.Fatal(err)
			}
			r.Match.Service = append(r.Match.Service, p)
		}
		switch c.rnd.IntN(6) {
		case 0:
			r.Deadline = time.Duration(10+c.rnd.IntN(500)) * time.Millisecond
		case 1:
			r.Retry = &govern.Retry{On: govern.Of(govern.ClassLost, govern.ClassDeadline), Attempts: c.rnd.IntN(3), Backoff: time.Millisecond, PerTry: 50 * time.Millisecond, Idempotent: true}
		default:
			r.Limit = &govern.Limit{Excess: govern.Excess(c.rnd.IntN(3)), QueueFor: time.Duration(1+c.rnd.IntN(200)) * time.Millisecond, QueueMost: 1 + c.rnd.IntN(6)}
			if r.Limit.By = nil; c.rnd.IntN(2) == 0 {
				r.Limit.By = []govern.By{govern.By(c.rnd.IntN(5))}
			}
			if r.Limit.Concurrency = c.rnd.IntN(4); r.Limit.Concurrency == 0 || c.rnd.IntN(3) == 0 {
				r.Limit.Rate, r.Limit.Burst = float64(1+c.rnd.IntN(200)), 1+c.rnd.IntN(3)
			}
		}
		list = append(list, r)
	}
	c.p.SetRules(govern.New(list, nil))
}
