package admin

import (
	"fmt"
	"net/http"
	"time"
)

// MaxByHand is the longest time that something can be set for by hand: a breaker, which without a time stays as it is until it
// is set again, and a drain to the remote tier.
const MaxByHand = 7 * 24 * time.Hour

// breakers are the circuit breakers and the ejections that are not as usual.
func (s *Server) breakers(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Proxy.Breakers()) }

// setBreaker opens or closes one by hand: POST /breakers?service=S&target=ENDPOINT-OR-METHOD&state=open&for=10m.
func (s *Server) setBreaker(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	var d time.Duration
	if text := q.Get("for"); text != "" {
		var err error
		if d, err = time.ParseDuration(text); err != nil || d <= 0 || d > MaxByHand {
			http.Error(w, fmt.Sprintf("for: %q: write a duration up to %v, like 10m", text, MaxByHand), http.StatusBadRequest)
			return
		}
	}
	if err := s.Proxy.SetBreaker(q.Get("service"), q.Get("target"), q.Get("state"), d); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.Log.Info("a circuit breaker was set by hand", "service", q.Get("service"), "target", q.Get("target"), "state", q.Get("state"), "for", d)
	s.breakers(w, r)
}

// breakersOpen counts methods whose breaker is open.
func (c collector) breakersOpen(e emitter) {
	n := 0
	for _, b := range c.s.Proxy.MethodBreakers() {
		if b.State != "closed" {
			n++
		}
	}
	e.gauge("breakers_open", "methods whose circuit breaker is open or half open", float64(n), nil)
}
