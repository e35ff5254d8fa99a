package registry

import (
	"container/heap"
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of the probes of one process.
const (
	probeGap     = 20 * time.Millisecond // between two that begin: 50 a second
	probeTimeout = 2 * time.Second
	maxProbing   = 100 // at once: as many as begin within probeTimeout
)

// prober runs probes, each on a goroutine of its own. Run only, but for results.
type prober struct {
	free    time.Time // no probe begins before
	probing int
	results chan result // has room for all that are under way: a probe never waits for Run
	running sync.WaitGroup
}

type result struct {
	hold *hold
	err  error
}

// work does what is due, and returns when there is more to do; zero: not before something happens.
func (w *watch) work(ctx context.Context, now time.Time) (next time.Time) {
	for n := 1; len(w.looks) > 0 && !w.looks[0].due.After(now); n++ {
		if n%64 == 0 {
			runtime.Gosched() // see Manager
		}
		if h := w.looks.next(); !w.settled(h, now) {
			w.await(h, now)
		}
	}
	for w.probing < maxProbing && !w.free.After(now) {
		h := w.nextProbe()
		if h == nil {
			break
		}
		if w.settled(h, now) { // it may have waited for long
			continue
		}
		w.free = now.Add(probeGap)
		w.probe(ctx, h)
	}
	if len(w.looks) > 0 {
		next = w.looks[0].due
	}
	if len(w.again)+len(w.waiting) > 0 && w.probing < maxProbing && (next.IsZero() || w.free.Before(next)) {
		next = w.free
	}
	return next
}

// nextProbe prefers those that failed once: a dead endpoint shall go soon, however many wait for their first probe.
func (w *watch) nextProbe() *hold {
	switch {
	case len(w.again) > 0:
		return w.again.next()
	case len(w.waiting) > 0:
		return w.waiting.next()
	}
	return nil
}

func (w *watch) canProbe(h *hold) bool {
	if h.service == "" {
		return w.cfg.ProbeRemote != nil
	}
	return w.cfg.Probe != nil
}

func (w *watch) probe(ctx context.Context, h *hold) {
	w.probing++
	settings, endpoint, remote, isRemote := h.part.settings(h.service), h.endpoint, h.remote, h.service == ""
	w.running.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		var err error
		if isRemote {
			err = w.cfg.ProbeRemote(ctx, remote)
		} else {
			err = w.cfg.Probe(ctx, settings, endpoint)
		}
		w.results <- result{h, err}
	})
}

// noEvidence reports whether a probe failed for a reason of our own: we end, this host has no descriptors, ports or
// memory left, or its name server did not answer.
func noEvidence(err error) bool {
	for _, own := range []error{context.Canceled, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EADDRNOTAVAIL, unix.EAGAIN} {
		if errors.Is(err, own) {
			return true
		}
	}
	var dns *net.DNSError
	return errors.As(err, &dns) && !dns.IsNotFound
}

// queue is holds by when they are due: the next one first.
type queue []*hold

func (q *queue) add(h *hold) {
	h.queue = q
	heap.Push(q, h)
}

// next takes the first one out; there must be one.
func (q *queue) next() *hold {
	h := (*q)[0]
	q.remove(h)
	return h
}

func (q *queue) remove(h *hold) {
	heap.Remove(q, h.at)
	h.queue = nil
}

// Len is heap.Interface's.
func (q *queue) Len() int { return len(*q) }

// Less is heap.Interface's.
func (q *queue) Less(i, j int) bool { return (*q)[i].due.Before((*q)[j].due) }

// Swap is heap.Interface's.
func (q *queue) Swap(i, j int) {
	(*q)[i], (*q)[j] = (*q)[j], (*q)[i]
	(*q)[i].at, (*q)[j].at = i, j
}

// Push is heap.Interface's.
func (q *queue) Push(x any) {
	h := x.(*hold)
	h.at = len(*q)
	*q = append(*q, h)
}

// Pop is heap.Interface's.
func (q *queue) Pop() any {
	last := len(*q) - 1
	h := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return h
}
