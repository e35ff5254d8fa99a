package zookeeper

import (
	"context"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// absent is what happens to a name that has no node. One that was never in use is remembered as unknown for a while and
// costs the ensemble nothing; one that was is watched for its coming, and loses its instances: whether they are believed
// to be gone is the manager's to judge.
func (s *Source) absent(ctx context.Context, e *entry) {
	s.mu.Lock()
	used := e.used
	s.mu.Unlock()
	if used {
		watch := s.arm(e)
		_, there, err := s.client.stat(ctx, e.path, watch)
		switch {
		case err != nil:
			s.disarm(e)
			s.failed(e, err)
			return
		case there: // it came in between; the watch that was set is one for its data and its end
			s.mu.Lock()
			e.armed, e.again = false, true
			s.mu.Unlock()
			return
		}
	}
	e.members = nil
	s.mu.Lock()
	was := e.checked
	e.node, e.found, e.failures, e.problem, e.checked = node{}, false, 0, "", time.Now()
	e.until = e.checked.Add(jittered(s.o.Unknown))
	first := s.answer(e)
	switch {
	case e.ever && (e.service == nil || len(e.service.Endpoints) > 0):
		e.becomes(&registry.Service{Name: e.name, Framing: s.o.Framing}, was)
		ring(s.publish)
	case first:
		ring(s.publish)
	}
	s.mu.Unlock()
	if e.name != "" {
		s.unknown(e.name)
	}
}

// failed keeps what is known and has the entry read again: soon when the connection was at fault, late when the answer
// will not change. What was never answered holds up the first update no longer than the first lasting answer.
func (s *Source) failed(e *entry, err error) {
	s.failures.Add(1)
	s.mu.Lock()
	wait := min(firstRetry<<min(e.failures, 10), lastRetry)
	e.failures++
	first := false
	if lasting(err) {
		wait = lastingRetry
		first = s.answer(e)
	}
	news := e.problem != err.Error()
	e.problem = err.Error()
	forget := !e.used // a name out of a frame: asked again when it is called again
	if forget {
		e.until = time.Now().Add(jittered(s.o.Unknown))
	} else {
		s.enqueueLater(e, wait)
	}
	if first {
		ring(s.publish)
	}
	s.mu.Unlock()
	if forget {
		s.unknown(e.name)
	}
	if news {
		s.o.Log.Warn("a service could not be looked up; what was known stands", "path", e.path, "problem", err)
	}
}
