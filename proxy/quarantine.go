package proxy

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// Quarantine says when a source is kept out because of what it sends. The zero value: never.
//
// A source that stands for many (Identity.Crowd) never is: each offender there loses its own connections only.
//
// Strikes are counted for what hurts others and no working caller does: bytes that can't be understood 1, replies that are
// not taken 5 (they have been held for timeouts.write_stall), a panic in a codec 10. So a bug in one of a pod's many clients
// costs that client its connection and not the pod its neighbours' place, until it comes several times a second.
type Quarantine struct {
	Strikes int           // as many within Window
	Window  time.Duration // ...
	First   time.Duration // how long the first time
	Most    time.Duration // at most: it doubles each time, and is halved by as long a time without another
}

// DefaultQuarantine returns what the documentation names.
func DefaultQuarantine() Quarantine {
	return Quarantine{Strikes: 30, Window: 10 * time.Second, First: time.Second, Most: 5 * time.Minute}
}

// conduct is what a source has done lately. Safe for concurrent use: offences are rare, and a call costs one look at until.
type conduct struct {
	until atomic.Int64 // in quarantine until then, worker clock; 0: never was
	times atomic.Uint64

	mu      sync.Mutex
	strikes int
	since   int64 // the window's beginning
	hold    int64 // how long the next time, ns; 0: First
	calm    int64 // hold is halved when it was good for as long since then
}

var offences = map[closeReason]int{
	reasonMalformed: 1, reasonTooLarge: 1, reasonUnsupported: 1, reasonWriteStall: 5, reasonBytes: 5, reasonPanic: 10,
}

// quarantined reports whether the source is kept out now.
func (s *source) quarantined(now int64) bool {
	until := s.conduct.until.Load()
	return until != 0 && now < until
}

// counts reports whether what the source has done may still count against it.
func (c *conduct) counts(now int64, window time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.strikes > 0 && now-c.since <= int64(window) || now < c.calm+c.hold
}

// strike counts an offence of a source. Safe for concurrent use.
func (p *Proxy) strike(s *source, now int64, why closeReason) {
	q, c := &p.cfg.Quarantine, &s.conduct
	points := offences[why]
	if points == 0 || q.Strikes <= 0 || s.Crowd || s.quarantined(now) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now-c.since > int64(q.Window) {
		c.strikes, c.since = 0, now
	}
	if c.strikes += points; c.strikes < q.Strikes || s.quarantined(now) {
		return
	}
	for c.hold > int64(q.First) && now-c.calm >= c.hold {
		c.calm += c.hold
		c.hold /= 2
	}
	c.hold = max(c.hold, int64(q.First))
	held := c.hold
	c.strikes = 0
	c.until.Store(now + held)
	c.calm = now + held
	c.hold = min(2*held, max(int64(q.Most), int64(q.First)))
	c.times.Add(1)
	p.quarantines.Add(1)
	p.cfg.Log.Warn("source quarantined", "source", s.Source, "workload", s.Workload, "for", time.Duration(held), "last", string(why),
		"next", "look at its log: it sends what can't be read or does not read its replies; see bellhop_malformed_total")
}

var errQuarantined = errors.New("the source is quarantined")

func quarantineFault(s *source) protocol.Fault {
	return protocol.Fault{Code: protocol.CodeQuarantined, Message: "source " + s.Source +
		" is quarantined for a time: it has sent what can't be read, or not read its replies, again and again"}
}

// offended counts what a caller's connection was closed for. A hand-off connection is many sources', and none of theirs.
func (d *downstream) offended(reason closeReason) {
	if d.closing != "" {
		reason = d.closing
	}
	if !d.handoff && (reason != reasonBytes || d.overfull) {
		d.w.p.strike(d.src, d.w.now, reason)
	}
}
