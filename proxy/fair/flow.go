package fair

// Flow is one who shares: a workload, which shares with other workloads, or a source, which shares with the others of its
// workload. It belongs to one Queue. Its weight may be set at any time, and counts from its next turn on.
type Flow[T any] struct {
	// Weight is its part among those beside it, 1 or more.
	Weight int64
	// Owner is for whoever made the flow; the queue does not look at it.
	Owner any
	// Typical is for whoever charges the flow: what one item of it usually costs.
	Typical int64

	queue      *Queue[T]
	parent     *Flow[T] // its workload; the queue's root for a workload
	credit     int64    // what it may still use in this turn; below zero: what it has used beyond
	queued     int      // items of it that wait
	generation uint32   // how often it has left the ring: its account was closed each time
	name       string   // of a workload in a Book

	in         *ring[T] // nil: it has used nothing lately and nothing waits
	next, prev *Flow[T]
	turning    bool // has had its quantum for this turn

	fresh, old ring[T] // of a workload: its sources
	items      List[T] // of a source
}

// Queued returns how many items of the flow wait.
func (f *Flow[T]) Queued() int { return f.queued }

// Generation changes when the flow's account is closed: what was used before counts no more.
func (f *Flow[T]) Generation() uint32 { return f.generation }

// Open reports whether the flow has an account: something of it waits, or it has used something lately.
func (f *Flow[T]) Open() bool { return f.in != nil }

// Workload returns the workload of a source's flow.
func (f *Flow[T]) Workload() *Flow[T] { return f.parent }

// ring is those who take turns, in order.
type ring[T any] struct {
	first, last *Flow[T]
	n           int
}

func (r *ring[T]) push(f *Flow[T]) {
	f.in, f.prev, f.next = r, r.last, nil
	if r.last != nil {
		r.last.next = f
	} else {
		r.first = f
	}
	r.last = f
	r.n++
}

func (r *ring[T]) remove(f *Flow[T]) {
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		r.first = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	} else {
		r.last = f.prev
	}
	f.in, f.next, f.prev = nil, nil, nil
	r.n--
}

// heavier reports whether a holds more for its weight than b would with extra more items.
func heavier[T any](a, b *Flow[T], extra int) bool {
	return int64(a.queued)*b.Weight > int64(b.queued+extra)*a.Weight
}

// heaviest returns which of those below f holds the most for its weight, nil when none holds anything.
func (f *Flow[T]) heaviest() (h *Flow[T]) {
	for _, r := range []*ring[T]{&f.fresh, &f.old} {
		for c := r.first; c != nil; c = c.next {
			if c.queued > 0 && (h == nil || heavier(c, h, 0)) {
				h = c
			}
		}
	}
	return h
}
