package admin

import (
	"strings"

	"github.com/bellhop-mesh/bellhop/registry/zookeeper"
)

// ensembles has the counters of each ZooKeeper ensemble.
func (c collector) ensembles(e emitter) {
	labels := []string{"registry"}
	for _, z := range c.s.Ensembles {
		st, name := z.Stats(), z.Name
		connected := 0.0
		if st.Connected {
			connected = 1
		}
		e.gauge("zookeeper_connected", "1: there is a session with the ensemble", connected, labels, name)
		e.counter("zookeeper_connections", "connections with a session that were made", st.Sessions, labels, name)
		e.counter("zookeeper_connections_lost", "connections that were lost", st.Lost, labels, name)
		e.counter("zookeeper_sessions_expired", "sessions that ended because no server heard of us in time", st.Expired, labels, name)
		e.counter("zookeeper_replies_too_long", "replies beyond max_reply", st.TooLong, labels, name)
		e.gauge("zookeeper_services_watched", "services watched; bound: max_services", float64(st.Watched), labels, name)
		e.gauge("zookeeper_names_unknown", "names remembered as not being there; bound: max_unknown", float64(st.Unknown), labels, name)
		e.gauge("zookeeper_lookups_waiting", "look-ups that wait; bound: max_pending", float64(st.Pending), labels, name)
		e.counter("zookeeper_lookups", "look-ups for calls of unknown services", st.Lookups, labels, name)
		e.counter("zookeeper_lookups_refused", "look-ups refused: a name that can be no node, or a bound", st.Refused, labels, name)
		e.counter("zookeeper_lookups_known_unknown", "look-ups answered from the memory of unknown names", st.KnownUnknown, labels, name)
		e.counter("zookeeper_read_failures", "readings that failed", st.Failures, labels, name)
		e.counter("zookeeper_bad_nodes", "nodes that are no instances and were left out", st.BadNodes, labels, name)
		e.counter("zookeeper_audits", "rounds in which every node in use was looked at", st.Audits, labels, name)
		e.counter("zookeeper_corrections", "services that an audit found changed without an event", st.Corrected, labels, name)
		e.counter("zookeeper_save_errors", "times that the names in use could not be saved", st.SaveErrors, labels, name)
		e.gauge("zookeeper_oldest_answer_seconds", "age of the oldest last good answer about a watched service", st.OldestAnswer.Seconds(), labels, name)
		if z.Registrar != nil {
			e.registrar(z.Registrar(), labels, name)
		}
	}
}

func (e emitter) registrar(st zookeeper.RegistrarStats, labels []string, name string) {
	e.gauge("zookeeper_registrations_wanted", "what this proxy is to register: itself, or services that are healthy", float64(st.Wanted), labels, name)
	e.gauge("zookeeper_registrations_in_place", "... of which the ensemble has", float64(st.InPlace), labels, name)
	e.gauge("zookeeper_registrations_contested", "... of which somebody else takes over again and again", float64(st.Contested), labels, name)
	e.counter("zookeeper_registrations_corrected", "registrations that were gone or changed, and were put back", st.Corrected, labels, name)
	e.counter("zookeeper_registrations_taken_over", "registrations that were taken over from another session", st.TakenOver, labels, name)
	e.counter("zookeeper_registration_failures", "requests for registrations that failed", st.Failures, labels, name)
}

// registryProblem is what is wrong with the registries now; "" when nothing is.
func (s *Server) registryProblem() string {
	var all []string
	if p := s.File.Stats().LastError; p != "" {
		all = append(all, p)
	}
	for _, z := range s.Ensembles {
		if p := z.Stats().Problem; p != "" {
			all = append(all, z.Name+": "+p)
		}
		if z.Registrar != nil {
			if p := z.Registrar().Problem; p != "" {
				all = append(all, z.Name+": registration: "+p)
			}
		}
	}
	if p := s.kubernetesProblem(); p != "" {
		all = append(all, p)
	}
	return strings.Join(all, "; ")
}
