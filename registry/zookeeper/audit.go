package zookeeper

import (
	"context"
	"time"

	"github.com/go-zookeeper/zk"
)

// happened takes an event. It runs on the library's goroutine and must not wait.
func (s *Source) happened(ev event) {
	if ev.path == "" {
		if ev.state == zk.StateHasSession { // whether every watch was set again is only logged by the library
			ring(s.recheck)
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.paths[ev.path]; e != nil {
		e.armed = false
		s.enqueue(e)
	}
}

// auditor looks at every node again and again: a watch may be lost without a word. What the node's stat says tells
// whether its children changed; nothing is listed when nothing did.
func (s *Source) auditor(ctx context.Context) {
	for {
		t := time.NewTimer(jittered(s.o.Audit))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		case <-s.recheck:
			t.Stop()
			if !pause(ctx, jittered(auditGrace)) { // thousands of hosts have reconnected with us
				return
			}
		}
		s.audit(ctx)
		s.forget(time.Now())
	}
}

// audit is one round.
func (s *Source) audit(ctx context.Context) {
	s.audits.Add(1)
	suspects := s.differing(ctx, s.watchedEntries())
	if len(suspects) == 0 || !pause(ctx, auditGrace) {
		return
	}
	n := 0
	for _, e := range s.differing(ctx, suspects) {
		s.mu.Lock()
		if !e.busy && !e.queued { // no event came
			n++
			if !e.found {
				e.armed = false // it waits for the node's coming, and the node is there
			}
			s.enqueue(e)
		}
		s.mu.Unlock()
	}
	if n == 0 {
		return
	}
	s.corrected.Add(uint64(n))
	s.o.Log.Warn("watches were lost; the services are read again and the connection is made anew", "services", n)
	s.client.bounce() // with the session kept: every watch is set again
}

func (s *Source) watchedEntries() []*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*entry, 0, s.watched+1)
	for _, e := range s.paths {
		if e.used && e.answered {
			out = append(out, e)
		}
	}
	return out
}

// differing returns those whose node is not as it was when it was read.
func (s *Source) differing(ctx context.Context, list []*entry) []*entry {
	var out []*entry
	for _, e := range list {
		within, cancel := context.WithTimeout(ctx, readTimeout)
		n, there, err := s.client.stat(within, e.path, false)
		cancel()
		if err != nil {
			return nil // the next round will tell; a reconnect begins one
		}
		s.mu.Lock()
		if there != e.found || there && (n.czxid != e.node.czxid || n.changes != e.node.changes) {
			out = append(out, e)
		} else if e.problem == "" {
			e.checked = time.Now()
		}
		s.mu.Unlock()
	}
	return out
}

// forget lets go of names that are unknown, and of services that nobody has called for long.
func (s *Source) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, e := range s.entries {
		if e.queued || e.busy || e.pinned {
			continue
		}
		switch {
		case !e.used && now.After(e.until):
			s.missing--
		case e.used && now.Sub(e.usedAt) > s.o.Forget:
			s.watched--
			s.usedNew = true
			s.forgotten[name] = now
			ring(s.publish)
			s.o.Log.Info("a service that nobody calls is not watched any more", "service", name)
		default:
			continue
		}
		delete(s.entries, name)
		delete(s.paths, e.path)
	}
}
