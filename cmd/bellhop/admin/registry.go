package admin

import (
	"net/http"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// Known is what /registry tells.
type Known struct {
	Version   uint64                `json:"version"`
	Protected []registry.Protection `json:"protected"` // endpoints that are kept although their registry does not name them
	Services  map[string]KnownAge   `json:"services"`
}

// KnownAge is one service.
type KnownAge struct {
	Endpoints int      `json:"endpoints"`    // held ones included
	AgeS      *float64 `json:"answer_age_s"` // since a registry last confirmed it; null: not in this process
}

func (s *Server) registry(w http.ResponseWriter, _ *http.Request) {
	snap, now := s.Manager.Snapshot(), time.Now()
	out := Known{Version: snap.Version, Protected: s.Manager.Protected(), Services: map[string]KnownAge{}}
	answers := s.Manager.LastAnswers()
	for name, svc := range snap.Services {
		k := KnownAge{Endpoints: len(svc.Endpoints)}
		if at := answers[name]; !at.IsZero() {
			age := now.Sub(at).Seconds()
			k.AgeS = &age
		}
		out.Services[name] = k
	}
	writeJSON(w, out)
}

// oldestAnswer is the age in seconds of the oldest last good answer about a service; -1: there was none in this process.
func (s *Server) oldestAnswer() float64 {
	oldest, now := 0.0, time.Now()
	for _, at := range s.Manager.LastAnswers() {
		if at.IsZero() {
			return -1
		}
		oldest = max(oldest, now.Sub(at).Seconds())
	}
	return oldest
}
