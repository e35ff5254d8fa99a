package proxy

// This file gives up the pools of endpoints that have left the table, a little in each batch: a table may lose thousands
// of endpoints at once, and no call shall wait for that.
//
//	new table ─► sweep: every pool is looked at, retireLook a batch ─► gone: retire, retireClose a batch ─► done

// Bounds of one batch. A look costs some 10 ns to 100 ns, a close or a call that goes elsewhere some 10 µs.
const (
	retireLook  = 4096
	retireClose = 64
)

// retiring is how far a worker has come with that. Loop only.
type retiring struct {
	at   int     // pools before this one were looked at; those that came since belong to the table in force
	busy bool    // not all is done
	gone []*pool // have connections without a call, or calls that wait
}

// newTable begins to give up the pools of endpoints that have left. Loop only.
func (w *worker) newTable() {
	w.retiring.at, w.retiring.busy = 0, true
}

// retirePools does one batch's share of it and has the loop come round again while there is more. Idle connections are
// closed now, others with their last call. Loop only.
func (w *worker) retirePools() {
	r := &w.retiring
	for range retireLook {
		if r.at >= len(w.pools) {
			break
		}
		p := w.pools[r.at]
		if w.table.Holds(p.endpoint) {
			r.at++
			continue
		}
		last := len(w.pools) - 1
		w.pools[r.at], w.pools[last] = w.pools[last], nil
		w.pools = w.pools[:last]
		p.retired = true
		p.endpoint.States[w.id].Pool = nil // should the endpoint be called once more, it is by a new pool
		r.gone = append(r.gone, p)
	}
	for left := retireClose; left > 0 && len(r.gone) > 0; {
		last := len(r.gone) - 1
		p := r.gone[last]
		if n := p.retire(left); n < left {
			r.gone[last], r.gone = nil, r.gone[:last]
			left -= max(n, 1)
			continue
		}
		break
	}
	if r.busy = r.at < len(w.pools) || len(r.gone) > 0; r.busy {
		w.signal()
	}
}

// retire gives up to most of the pool's idle connections and waiting calls up, and returns how many; fewer than most:
// that was all. Calls that wait go to pools that stay: the table in force does not know this endpoint any more.
func (p *pool) retire(most int) (n int) {
	for ; p.waiting() > 0 && n < most; n++ {
		c := p.next()
		p.remove(c)
		p.w.requeue(c, c.keptCodec, c.kept)
	}
	for _, list := range [][]*upstream{p.idle, p.open} {
		for _, u := range list {
			if n >= most {
				return n
			}
			if u.nCalls == 0 && u.doomedFor == "" {
				p.w.doom(&u.session, reasonRetired)
				n++
			}
		}
	}
	return n
}
