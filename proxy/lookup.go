package proxy

import (
	"context"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// This file lets calls wait for a service that the table does not know and that somebody looks up (Config.Lookup): a
// registry may watch only the services that are in use, and the first call is what brings one into use.
//
//	onRequest ─► lookUp ─► lookup.calls ─┬─ a table that knows the service ─► goOn ─► choose
//	                                     ├─ NotFound, timeouts.lookup ──────► goOn ─► handOver or fail
//	                                     └─ deadline, caller gone ──────────► fail, cancel
//
// Every worker looks up for itself. A look-up counts against the source whose call began it until it is over, also when
// that call is not there any more: who goes away at once shall not ask for more names than who waits.

// maxLookupName is the longest name that is looked up, in bytes. Registries may know shorter ones only.
const maxLookupName = 255

// maxOrphans bounds the oneways of one worker that wait for a look-up and whose caller has gone. Those whose bytes are
// charged go with their caller, so an orphan has at most smallFrame bytes.
const maxOrphans = 1024

// goOnShare is how many calls go on in one batch when their look-up is over: one costs some µs.
const goOnShare = 256

// lookup is one service that is being looked up, and the calls that wait for it. Loop only.
type lookup struct {
	w     *worker
	name  string
	src   *source // whose call asked
	calls callQueue
	late  bool // it was given up
	timer timer
}

// lookups are a worker's. Loop only.
type lookups struct {
	byName  map[string]*lookup
	over    []*lookup // have calls that are to go on
	orphans int       // oneways that wait and whose caller has gone
}

// lookUp has a call to an unknown service wait for the service's look-up, if there is one. Otherwise fault says more
// about why not, where there is more to say.
func (w *worker) lookUp(c *call, m *protocol.Message, fault *protocol.Fault) bool {
	name := c.to.Service
	if w.p.cfg.Lookup == nil || len(name) == 0 || len(name) > maxLookupName {
		return false
	}
	if c.dry != nil {
		return c.wouldLookUp()
	}
	l := w.lookups.byName[string(name)]
	if l == nil {
		if l = w.beginLookup(c.src, string(name), fault); l == nil {
			return false
		}
	}
	c.kept, c.keptCodec = append(c.kept[:0], m.Frame...), c.d.codec
	l.calls.push(c)
	return true
}

// beginLookup asks for a service within the bounds; nil: there is none, or a bound is reached, which fault then says.
func (w *worker) beginLookup(src *source, name string, fault *protocol.Fault) *lookup {
	lim := &w.p.cfg.Limits
	if src.lookups.Add(1) > int64(lim.SourceLookups) {
		src.lookups.Add(-1)
		*fault = protocol.Fault{Code: protocol.CodeSourceLookups, Message: "service " + name + " is not known here, and source " + src.Source +
			" has too many services being looked up (limits.source_lookups)"}
		return nil
	}
	if w.p.lookups.Add(1) > int64(lim.TotalLookups) {
		w.release(src)
		*fault = protocol.Fault{Code: protocol.CodeTotalLookups, Message: "service " + name +
			" is not known here, and the proxy has too many services being looked up (limits.total_lookups)"}
		return nil
	}
	if !w.p.cfg.Lookup(name) {
		w.release(src)
		return nil
	}
	l := &lookup{w: w, name: name, src: src}
	l.timer.fire = l
	w.lookups.byName[name] = l
	w.wheel.arm(&l.timer, w.now+int64(w.p.cfg.Timeouts.Lookup))
	w.stats.lookups++
	return l
}

func (w *worker) release(src *source) {
	src.lookups.Add(-1)
	w.p.lookups.Add(-1)
}

// expired: there was no answer in time.
func (l *lookup) expired(int64) {
	l.late = true
	l.w.stats.lookupTimeouts++
	l.end()
}

// end has the calls that wait go on: with this batch, and those that come after it.
func (l *lookup) end() {
	w := l.w
	delete(w.lookups.byName, l.name)
	w.wheel.disarm(&l.timer)
	w.release(l.src)
	if l.calls.head() != nil {
		w.lookups.over = append(w.lookups.over, l)
		w.signal()
	}
}

// newlyKnown ends the look-ups of services that are in the table now. Loop only.
func (w *worker) newlyKnown() {
	for name, l := range w.lookups.byName {
		if w.table.Lookup([]byte(name)) != nil {
			l.end()
		}
	}
}

// NotFound tells that a service for which Config.Lookup has said true does not exist, as far as is known: calls that wait
// for it get their fault now. Safe for concurrent use; it does not block.
func (p *Proxy) NotFound(service string) {
	for _, w := range p.workers {
		w.do(func() {
			if l := w.lookups.byName[service]; l != nil {
				l.end()
			}
		})
	}
}

// goOnWaiting has calls go on whose look-up is over, at most goOnShare in one batch. Loop only.
func (w *worker) goOnWaiting() {
	s := &w.lookups
	for left := goOnShare; left > 0 && len(s.over) > 0; {
		l := s.over[0]
		c := l.calls.head()
		if c == nil {
			s.over[0], s.over = nil, s.over[1:]
			continue
		}
		l.calls.remove(c)
		w.goOn(c, l.late)
		left--
	}
}

// goOn takes a call up where onRequest left it. The table in force tells whether its service was found; late: nobody
// answered.
func (w *worker) goOn(c *call, late bool) {
	if c.d == nil && c.deadline <= w.now {
		w.calls.put(c)
		return
	}
	c.cluster = w.table.Lookup(c.to.Service)
	if c.d != nil && c.dnext != nil && c.cluster != nil && c.cluster.Ordered { // not before the calls that came before it
		c.d.turns.push(c)
		return
	}
	m := &w.retry
	if err := c.keptCodec.Decode(c.kept, m, &w.resend); err != nil {
		w.fail(c, protocol.Fault{Code: protocol.CodeInternal, Message: "the call could not be read again: " + err.Error()})
		return
	}
	m.Service = c.to.Service
	c.handoffKeys(m)
	if c.d != nil && m.Timeout <= 0 && c.cluster != nil { // the service's, from now on
		c.setDeadline(m, w.now)
	}
	m.Timeout = time.Duration(c.deadline - w.now)
	if c.cluster != nil {
		c.stats = w.stats.method(c.cluster, m.Method)
		c.declared(m)
		w.serve(c, m)
		return
	}
	if !w.handOver(c, m, protocol.CodeNoService) {
		f := protocol.Fault{Code: protocol.CodeNoService, Message: describe(protocol.CodeNoService, c)}
		if late {
			f.Message = "service " + string(c.to.Service) + " is not known here, and its look-up took longer than " +
				w.p.cfg.Timeouts.Lookup.String() + " (timeouts.lookup): can the registry be reached?"
		}
		w.fail(c, f)
	}
}

// takeTurns sends the next of a caller's ordered calls that have waited for a look-up, when none before it is in flight.
func (d *downstream) takeTurns() {
	for c := d.turns.head(); c != nil; {
		if c.dnext != nil {
			c = c.behind()
			continue
		}
		d.turns.remove(c)
		d.w.goOn(c, false)
		c = d.turns.head() // it may have ended, and be another's by now
	}
}

// orphan reports whether a oneway that waits for a look-up may go on waiting when its caller has gone.
func (c *call) orphan() bool {
	s := &c.w.lookups
	if c.charged > 0 || s.orphans == maxOrphans || c.queue == &c.d.turns {
		return false
	}
	s.orphans++
	return true
}

// Used returns the services of which calls have ended since it was called last, in no order: those that have to stay
// known. For one asker; it costs a look at each method's counter, and Stats some kilobytes a method. The error says that a
// worker did not come round before ctx ended: what is there is returned all the same, and the rest the next time.
func (p *Proxy) Used(ctx context.Context) ([]string, error) {
	parts := make(chan []string, len(p.workers))
	err := p.each(ctx, func(w *worker) { parts <- w.stats.used() })
	seen := map[string]bool{}
	var out []string
	for len(parts) > 0 {
		for _, name := range <-parts {
			if !seen[name] {
				seen[name] = true
				out = append(out, name)
			}
		}
	}
	return out, err
}

// used takes note of every counter, on the loop. Calls of unknown services are counted together, under no name of theirs.
func (s *workerStats) used() (names []string) {
	for service, methods := range s.methods {
		used := false
		for _, m := range methods {
			used = used || m.duration.Count != m.asked
			m.asked = m.duration.Count
		}
		if used && service != other {
			names = append(names, service)
		}
	}
	return names
}
