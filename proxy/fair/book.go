package fair

// Book is a queue that finds the flows of those who share by their keys, makes them when something of them waits first, and
// forgets them when their account is closed. The zero Book is not ready: Init. For one owner.
type Book[K comparable, T any] struct {
	Queue[T]
	sources   map[K]*Flow[T]
	workloads map[string]*Flow[T]
	free      []*Flow[T]
}

// Init makes the book ready; see Queue.Init. Maps are made with the first item: most queues never see one.
func (b *Book[K, T]) Init(quantum int64) {
	b.Queue.Init(quantum)
	b.Closed = b.forget
}

// Flow returns the flow of a source, of a workload, with these weights. It is good until something else is done with the
// book, or as long as an item of it waits.
func (b *Book[K, T]) Flow(source K, workload string, weight, workloadWeight int64) *Flow[T] {
	if b.sources == nil {
		b.sources, b.workloads = map[K]*Flow[T]{}, map[string]*Flow[T]{}
	}
	w := b.workloads[workload]
	if w == nil {
		w = b.spare()
		w.name = workload
		b.Join(w, nil)
		b.workloads[workload] = w
	}
	w.Weight = max(workloadWeight, 1)
	f := b.sources[source]
	if f == nil {
		f = b.spare()
		f.Owner = source
		b.Join(f, w)
		b.sources[source] = f
	}
	f.Weight = max(weight, 1)
	return f
}

// Refuse forgets a flow that Flow has made for an item that was not pushed after all.
func (b *Book[K, T]) Refuse(f *Flow[T]) {
	w := f.parent
	if f.in == nil {
		b.forget(f)
	}
	if w.in == nil {
		b.forget(w)
	}
}

// Flows returns how many flows the book knows, workloads included.
func (b *Book[K, T]) Flows() int { return len(b.sources) + len(b.workloads) }

func (b *Book[K, T]) spare() *Flow[T] {
	if n := len(b.free); n > 0 {
		f := b.free[n-1]
		b.free = b.free[:n-1]
		return f
	}
	return &Flow[T]{}
}

// forget keeps a flow for whoever comes next. Its generation tells that it is another's.
func (b *Book[K, T]) forget(f *Flow[T]) {
	if f.parent == &b.root {
		delete(b.workloads, f.name)
	} else {
		delete(b.sources, f.Owner.(K))
	}
	f.Owner, f.Typical = nil, 0
	b.free = append(b.free, f)
}
