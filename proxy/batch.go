package proxy

import "time"

// This file is a worker's batch: what one poll round brought, from its first event to one write for each peer.
//
//	event ─► begin ─► … ─► end ─┬─ little is under way: flush
//	event ─► begin ─► … ─► end ─┴─ else a control byte ─► end of the poll round ─► round: flush, timers, tasks

// flushEvery is how many events are handled before what they brought is written in the middle of a poll round: what came first
// need not wait for hundreds of others, under a quota of CPU time not until the next period.
const flushEvery = 32

// begin opens a batch: the clock and the table are fresh once a batch.
func (w *worker) begin() {
	if w.inBatch {
		return
	}
	w.inBatch = true
	w.now = w.p.clock()
	if t := w.p.table.Load(); t != w.table {
		w.table = t
		w.newTable()
		w.newlyKnown()
		w.resolved.forget()
	}
	if r := w.p.rules.Load(); r != w.rules {
		w.newRules(r)
	}
	if w.retiring.busy {
		w.retirePools()
		w.stats.longest = max(w.stats.longest, w.p.clock()-w.now)
	}
	if len(w.lookups.over) > 0 {
		w.run(w.goOnWaiting)
		if len(w.lookups.over) > 0 {
			w.signal()
		}
		w.stats.longest = max(w.stats.longest, w.p.clock()-w.now)
	}
}

// end closes what was doomed, and writes at once when little is under way; else the flush waits for the end of this
// poll round, so that one write a peer carries what several connections brought.
func (w *worker) end() {
	for {
		w.resume()
		w.closeDoomed()
		if len(w.ready)+len(w.limitQueues.over) > 0 || w.displaced.head() != nil { // what was closed had a frame wait, or others
			continue
		}
		if len(w.dirty) == 0 {
			break
		}
		if w.flushPending {
			if w.unflushed++; w.unflushed >= flushEvery {
				w.flush()
				continue
			}
			break
		}
		if w.calls.active > 2 {
			w.flushPending = true
			w.openRound()
			w.signal()
			break
		}
		w.flush() // may end calls and connections: look again
	}
	if w.shares.turns.Len() > 0 && !w.flushPending { // some wait for their turn: it is at the end of the round
		w.flushPending = true
		w.openRound()
		w.signal()
	}
	if !w.flushPending {
		w.inBatch = false
		w.shares.turns.Forgive()
	}
	if w.flushPending { // the round's own end comes here
		return
	}
	w.setAlarm()
}

// round is a control byte's work: the flush at the end of a poll round, timers that are due, tasks from outside, and those who
// wait for their source's turn.
func (w *worker) round() {
	pending, began := w.flushPending, w.now
	w.flushPending = false
	w.flush()
	w.inBatch = false
	w.begin()
	if took := w.now - began; pending {
		w.stats.rounds.add(took / 1000)
		w.closeRound(took)
		w.stats.longest = max(w.stats.longest, took)
	}
	if w.armedFor <= w.now {
		w.armedFor = noTimer // it has fired, or is about to
	}
	w.runTasks()
	w.wheel.advance(w.now)
	w.serveTurns()
	w.resume()
	w.closeDoomed()
	w.flush()
}

// setAlarm has the loop woken when the next timer is due. While calls come and go in time nothing is re-armed: an alarm
// that is set for an earlier moment stands.
func (w *worker) setAlarm() {
	if n := w.wheel.next(); n < w.armedFor {
		w.armedFor = n
		w.alarm.Reset(time.Duration(n-w.now) + time.Duration(tick)/2)
	}
}

// resume goes on with calls that had to give way, and with callers whose next frame had to wait for a slot.
func (w *worker) resume() {
	w.serveLimits()
	if w.displaced.head() != nil {
		w.run(w.moveOn)
	}
	for len(w.ready) > 0 {
		d := w.ready[len(w.ready)-1]
		w.ready = w.ready[:len(w.ready)-1]
		d.waiting = false
		if d.conn != nil && d.doomedFor == "" {
			w.proceed(d)
		}
	}
}

func (w *worker) proceed(d *downstream) {
	defer w.recovered(d.conn)
	d.proceed()
}
