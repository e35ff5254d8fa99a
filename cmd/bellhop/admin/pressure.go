package admin

import (
	"fmt"
	"net/http"
	"time"
)

// drain has the host's calls go to the remote tier for a while, or ends that: POST /drain?to-remote=10m, POST /drain?cancel=1.
func (s *Server) drain(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("cancel") != "" {
		s.Proxy.DrainToRemote(0)
		writeJSON(w, s.Proxy.Pressure())
		return
	}
	d, err := time.ParseDuration(q.Get("to-remote"))
	switch {
	case err != nil || d <= 0 || d > MaxByHand:
		http.Error(w, "to-remote: write a duration up to "+MaxByHand.String()+", like 10m; or cancel=1", http.StatusBadRequest)
	case s.Process.Role != "local":
		http.Error(w, "this is a remote proxy: it hands nothing over", http.StatusConflict)
	case len(s.Proxy.Table().Remotes.Endpoints()) == 0:
		http.Error(w, "no remote proxy is known: there is nobody to drain to", http.StatusConflict)
	default:
		s.Proxy.DrainToRemote(d)
		writeJSON(w, s.Proxy.Pressure())
	}
}

func (c collector) pressure(e emitter) {
	p := c.s.Proxy.Pressure()
	e.gauge("pressure_level", "how hard pressed the proxy is: 0 none, 1 lend_less, 2 queue_heaviest, 3 hand_over, 4 ask_to_move, 5 refuse", float64(p.Number), nil)
	e.gauge("pressure", "of what presses most: 0 where it begins to count, 1 at the end of its range", p.Pressure, nil)
	for name, v := range p.Measured {
		e.gauge("pressure_measured", "what was measured last: shares, seconds for queue_delay", v, []string{"signal"}, name)
	}
	for level, n := range p.Entered {
		e.counter("pressure_level_entered", "times that a level was entered", n, []string{"level"}, level)
	}
	e.gauge("pressure_shed", "the share of the work that has to leave for the rest to fit", p.Shed, nil)
	e.gauge("moved_sources", "sources asked to use the remote tier now", float64(len(p.Moved)), nil)
	e.counter("moves_asked", "times that a source was asked to use the remote tier", p.Asked, nil)
	e.gauge("drain_to_remote_seconds", "for how much longer the host is drained to the remote tier; 0: it is not", p.ToRemoteS, nil)
	e.gauge("handoff_granted_calls", "calls in flight that remote proxies grant this one, over all connections", float64(p.Granted), nil)
	e.gauge("remote_capacity_calls", "calls in flight that this remote proxy takes now; 0: this is none, or nothing was measured yet", float64(p.Capacity), nil)
	e.gauge("remote_overflow_calls", "calls in flight that were handed over to this proxy", float64(p.Overflow), nil)
}

// ToRemote is one line about a drain to the remote tier.
func ToRemote(seconds float64, byRule bool) string {
	if byRule {
		return "by a rule, until it does not say so any more"
	}
	return fmt.Sprintf("for %s more", time.Duration(seconds*float64(time.Second)).Round(time.Second))
}
