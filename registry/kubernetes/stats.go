package kubernetes

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Stats are the counters of a source, read at scrape.
type Stats struct {
	Synced      bool      // everything was read once
	Problem     string    // why the API server can't be asked now; "": it can
	Services    int       // Services in force
	Slices      int       // EndpointSlices
	Endpoints   int       // … their endpoints
	Doubtful    int       // endpoints that are missing without evidence that they are gone
	Failures    uint64    // requests that failed
	Bad         uint64    // versions of Services, or of their ports, that could not be used
	Refused     uint64    // objects beyond a bound
	LastContact time.Time // when the API server last said something, by the watch that has waited longest; zero: not all have heard
	Problems    []string  // what is wrong with which Service, at most 100
}

// Stats returns the counters as they are now. Safe for concurrent use.
func (s *Source) Stats() Stats {
	st := Stats{Synced: s.synced(), LastContact: s.Checked("")}
	for _, r := range slices.Concat(s.services, s.slics) {
		st.Failures += r.failures.Load()
		if p := r.problemNow(); p != "" && st.Problem == "" {
			st.Problem = p
		}
	}
	t := s.state
	t.mu.Lock()
	defer t.mu.Unlock()
	st.Services, st.Slices, st.Endpoints, st.Bad, st.Refused = len(t.services), len(t.slices), t.endpoints, t.bad, t.refused
	for _, k := range t.names {
		st.Doubtful += len(k.lost)
	}
	for _, key := range slices.Sorted(maps.Keys(t.problems)) {
		if len(st.Problems) == 100 {
			break
		}
		st.Problems = append(st.Problems, strings.TrimPrefix(key, portProblem(""))+": "+t.problems[key])
	}
	return st
}

// namespacesOf are those of the Services behind a Thrift service.
func (s *state) namespacesOf(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	if k := s.names[name]; k != nil && name != "" {
		for key := range k.services {
			ns, _, _ := strings.Cut(key, "/")
			out = append(out, ns)
		}
	}
	return out
}
