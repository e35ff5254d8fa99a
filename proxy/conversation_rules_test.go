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

// parseRules reads a rules document, the section "rules".
func parseRules(t testing.TB, text []byte) *govern.Rules {
	r, err := rules.Parse("rules", text)
	if err != nil {
		t.Fatal(err)
	}
	return r.Govern()
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
