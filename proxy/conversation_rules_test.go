package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/proxy/rules"
)

// The words for rules (testdata/README.md).

// parseRules reads a rules document, the section "rules".
func parseRules(t *testing.T, text []byte) *govern.Rules {
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
