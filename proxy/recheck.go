package proxy

import (
	"sync/atomic"
	"time"

	"github.com/bellhop-mesh/bellhop/proxy/cluster"
)

// This file looks whether endpoints can be reached again that were ejected because connecting failed, so that no call has to
// find out.
//
//	ejected for connect ─► recheck ─► until its time is over ─► connect ─┬─ fails: ejected for longer, and again
//	                                                                     └─ half open: a call is its probe

// maxRechecks bounds the endpoints that are looked at so. Calls are the probes of any more.
const maxRechecks = 256

// rechecks count them. Nothing is looked at before Start.
type rechecks struct {
	on      atomic.Bool
	running atomic.Int32
}

// recheck looks after an ejected endpoint until it is reached, has left or is no longer ejected for that. It does not block.
// Loop only.
func (w *worker) recheck(e *cluster.Endpoint) {
	p := w.p
	if !p.rechecks.on.Load() || w.stopping {
		return
	}
	if p.rechecks.running.Add(1) > maxRechecks || !e.Await() {
		p.rechecks.running.Add(-1)
		return
	}
	p.pending.Go(func() {
		defer p.rechecks.running.Add(-1)
		defer e.Reached(true, 0) // whatever happens, calls may look for themselves then
		for p.waitFor(e) {
			conn, err := p.connect(e)
			if err == nil {
				_ = conn.Close()
				return
			}
			e.Reached(false, p.clock())
		}
	})
}

// waitFor waits until it is time to look at an endpoint. false: nobody waits for that any more.
func (p *Proxy) waitFor(e *cluster.Endpoint) bool {
	at, ok := e.Awaits()
	if !ok || !p.table.Load().Holds(e) {
		return false
	}
	t := time.NewTimer(time.Duration(at - p.clock()))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.life.Done():
		return false
	}
}
