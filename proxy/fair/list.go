package fair

// Item is what makes a thing queueable: it is embedded in the thing, so that waiting costs no allocation. A thing with one
// item waits in one place at a time.
type Item[T any] struct {
	next, prev *Item[T]
	flow       *Flow[T] // whose turn it waits for; nil: it is in no queue
	Value      T        // the thing; set before it is pushed
}

// Next returns the item behind this one in its list, nil at the end.
func (i *Item[T]) Next() *Item[T] { return i.next }

// Queued reports whether the item is in a Queue (not in a mere List).
func (i *Item[T]) Queued() bool { return i.flow != nil }

// Flow returns whose turn the item waits for, nil when it is in no Queue.
func (i *Item[T]) Flow() *Flow[T] { return i.flow }

// List is items in the order in which they came. The zero value is empty. For one owner.
type List[T any] struct{ first, last *Item[T] }

// First returns the oldest item, nil when there is none.
func (l *List[T]) First() *Item[T] { return l.first }

// Push appends an item that is in no list.
func (l *List[T]) Push(i *Item[T]) {
	i.prev, i.next = l.last, nil
	if l.last != nil {
		l.last.next = i
	} else {
		l.first = i
	}
	l.last = i
}

// Remove takes an item out that is in this list.
func (l *List[T]) Remove(i *Item[T]) {
	if i.prev != nil {
		i.prev.next = i.next
	} else {
		l.first = i.next
	}
	if i.next != nil {
		i.next.prev = i.prev
	} else {
		l.last = i.prev
	}
	i.next, i.prev = nil, nil
}
