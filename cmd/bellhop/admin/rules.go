package admin

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/proxy/rules"
)

// Rules are the rules in force, as the admin side reads them. All of it is safe for concurrent use.
type Rules interface {
	Status() rules.Status
	Rules() *rules.Rules
	Conflicts() []rules.Conflict
}

// RulesAnswer is what /rules says.
type RulesAnswer struct {
	rules.Status
	Conflicts []rules.Conflict `json:"conflicts"` // services on which the rules are not in force
	Document  string           `json:"document"`  // the document in force; "": none
}

func (s *Server) rules(w http.ResponseWriter, _ *http.Request) {
	if s.Rules == nil {
		http.Error(w, "no place of rules is configured: rules.path, rules.zookeeper or rules.configmap", http.StatusNotFound)
		return
	}
	a := RulesAnswer{Status: s.Rules.Status(), Conflicts: s.Rules.Conflicts()}
	if r := s.Rules.Rules(); r != nil {
		a.Document = string(r.Data)
	}
	writeJSON(w, a)
}

// config is the configuration in force, and which rules are.
func (s *Server) config(w http.ResponseWriter, _ *http.Request) {
	out := s.Config
	if section, ok := out["rules"].(map[string]any); ok && s.Rules != nil {
		section, out = maps.Clone(section), maps.Clone(out)
		section["in_force"] = s.Rules.Status().InForce
		out["rules"] = section
	}
	writeJSON(w, out)
}

// rulesProblem is what is wrong with the rules as they are now; "" when nothing is.
func (s *Server) rulesProblem() string {
	if s.Rules == nil {
		return ""
	}
	if st := s.Rules.Status(); st.Wrong {
		return strings.Join(st.Refused.Told(), "\n")
	}
	return ""
}

func (c collector) rules(e emitter) {
	if c.s.Rules == nil {
		return
	}
	st := c.s.Rules.Status()
	in := st.InForce
	age := 0.0
	if in == nil {
		in = &rules.InForce{}
	} else {
		age = time.Since(in.Since).Seconds()
	}
	e.gauge("rules_info", "always 1; the rules in force", 1, []string{"version", "digest"}, printable(in.Version), in.Digest)
	e.gauge("rules_age_seconds", "how long the rules have been in force in this process; 0: there are none", age, nil)
	e.gauge("rules_wrong", "1: what is in the place of the rules now was refused; the old ones are in force", flag(st.Wrong), nil)
	e.gauge("rules_missing", "1: there is no document in the place of the rules now", flag(st.Missing), nil)
	e.gauge("rules_from_last_run", "1: the rules in force are those of the last run; their place has not confirmed them", flag(in.LastGood), nil)
	e.gauge("rules_conflicts", "services on which the rules are not in force, since they could not be called so", float64(len(c.s.Rules.Conflicts())), nil)
	e.counter("rules_applied", "rules documents that came into force", st.Accepted, nil)
	e.counter("rules_refused", "versions of the rules document that were refused", st.RefusedN, nil)
	e.counter("rules_source_errors", "times that the source of the rules had to be started again", st.SourceErrors, nil)
	e.counter("rules_read_errors", "times that the rules document was there and could not be read", st.ReadErrors, nil)
	e.counter("rules_last_good_writes", "last-good rules written", st.LastGoodWrites, nil)
	e.counter("rules_last_good_write_errors", "last-good rules that could not be written", st.LastGoodErrors, nil)
}

// ruleCounts are what rules have decided. Labels are bounded: a document has at most a thousand rules, and a rule of
// which a document does not speak any more has no counters.
func (c collector) ruleCounts(ctx context.Context, e emitter) {
	if c.s.Rules == nil {
		return
	}
	st, _ := c.s.Proxy.RuleStats(ctx) // what is there is counted; bellhop_workers_counted shows the rest
	e.gauge("rules_for_calls", "rules in force that speak of calls", float64(len(st.Rules)), nil)
	e.gauge("rules_for_sources", "entries in force that speak of sources", float64(st.Sources), nil)
	e.gauge("rule_calls_waiting", "calls that wait for the limit of a rule; bounds: queue_most, limits.source_queued", float64(st.Waiting), nil)
	e.gauge("rules_resolved", "methods of sources of which event loops remember what rules say", float64(st.Resolved), nil)
	for i := range st.Rules {
		r := &st.Rules[i]
		for a, speaks := range r.Speaks {
			if speaks {
				e.counter("rule_calls", "calls of which a rule has decided something", r.Calls[a], []string{"rule", "action"}, r.Rule, govern.Action(a).String())
			}
		}
		if !r.Speaks[govern.ActLimit] {
			continue
		}
		for o, n := range r.Outcomes {
			if n > 0 || govern.Outcome(o) == govern.Rejected {
				e.counter("rule_limited", "calls at the limit of a rule by what became of them, but for those that passed", n, []string{"rule", "outcome"}, r.Rule, govern.Outcome(o).String())
			}
		}
		e.gauge("rule_limit_keys", "keys that the limit of a rule counts each for itself; bound: 10000, and 200000 of all limits in equal parts", float64(r.Keys), []string{"rule"}, r.Rule)
		e.counter("rule_limit_shared", "times that a limit had as many keys as it may, and a new one was counted with others", r.Shared, []string{"rule"}, r.Rule)
	}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
