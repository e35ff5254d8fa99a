package fair

// Queue shares by deficit round robin: whoever has its turn is served while it has credit, and credit is a quantum times its
// weight for each turn. What an item costs is charged when it is known, after it was served or in two parts; what a turn
// used beyond its credit is taken off the next ones ("surplus"). So shares are exact in the long run whatever items cost,
// and nobody is ahead of its share by more than one item and one quantum.
//
// Who becomes active goes before those that have been for longer, once ("fresh"): a caller with little to do does not wait
// for a round of those with much. It keeps its place among the others until a turn comes there that finds nothing of it
// waiting and nothing owed: coming and going brings no second turn.
//
// The zero Queue is not ready: Init. For one owner; nothing blocks, locks or allocates.
type Queue[T any] struct {
	root    Flow[T]
	quantum int64
	// Closed is told of every flow that leaves its ring, after its account was closed: it may be forgotten, or used again.
	Closed func(*Flow[T])
}

// Init makes the queue ready. quantum is what a turn of weight 1 may cost, in the unit of Charge; about what one item costs
// is right.
func (q *Queue[T]) Init(quantum int64) {
	q.quantum = max(quantum, 1)
	q.root.queue = q
}

// Join makes f a flow of this queue: a source's with its workload, a workload's with nil. Once, before anything else.
func (q *Queue[T]) Join(f, workload *Flow[T]) {
	f.queue, f.parent = q, &q.root
	if workload != nil {
		f.parent = workload
	}
	f.Weight = max(f.Weight, 1)
}

// Len returns how many items wait.
func (q *Queue[T]) Len() int { return q.root.queued }

// Push has an item wait for a turn of f.
func (q *Queue[T]) Push(f *Flow[T], i *Item[T]) {
	f.enter()
	i.flow = f
	f.items.Push(i)
	for ; f != nil; f = f.parent {
		f.queued++
	}
}

// Remove takes a waiting item out.
func (q *Queue[T]) Remove(i *Item[T]) {
	f := i.flow
	f.items.Remove(i)
	i.flow = nil
	for ; f != nil; f = f.parent {
		f.queued--
	}
}

// Next returns the item whose turn it is, nil when none waits. It stays in the queue: take it out with Remove, then Charge
// what it costs. Asked again without either it returns the same.
func (q *Queue[T]) Next() *Item[T] {
	if q.root.queued == 0 {
		return nil
	}
	return q.root.turn().turn().items.first
}

// Newest returns the item of f that came last, nil when none waits.
func (q *Queue[T]) Newest(f *Flow[T]) *Item[T] { return f.items.last }

// Charge takes a cost off what f may use, or gives it back when it is negative. A flow that has nothing waiting is charged
// too: what it uses out of turn counts.
func (q *Queue[T]) Charge(f *Flow[T], cost int64) {
	f.enter()
	f.credit -= cost
	f.parent.credit -= cost
}

// Ahead reports whether f may be served now, out of turn: it and its workload have credit, and nothing of it waits.
func (q *Queue[T]) Ahead(f *Flow[T]) bool {
	return f.queued == 0 && (f.in == nil || f.credit > 0) && (f.parent.in == nil || f.parent.credit > 0)
}

// Credit reports whether f and its workload may go on in their turn.
func (q *Queue[T]) Credit(f *Flow[T]) bool {
	return (f.in == nil || f.credit > 0) && (f.parent.in == nil || f.parent.credit > 0)
}

// Over returns the flow that has to give way when the queue is full and f wants to push: the one that holds the most for its
// weight, of the workload that does. nil: f itself would.
func (q *Queue[T]) Over(f *Flow[T]) *Flow[T] {
	w := q.root.heaviest()
	if w == nil || w != f.parent && !heavier(w, f.parent, 1) {
		return nil
	}
	s := w.heaviest()
	if w == f.parent && (s == f || !heavier(s, f, 1)) {
		return nil
	}
	return s
}

// Forgive closes all accounts when nothing waits: everybody got what it wanted, so nobody has used another's share.
func (q *Queue[T]) Forgive() {
	if q.root.queued > 0 {
		return
	}
	q.root.disband()
}

// disband closes all accounts below a flow.
func (f *Flow[T]) disband() {
	for f.fresh.first != nil {
		f.fresh.first.leave()
	}
	for f.old.first != nil {
		f.old.first.leave()
	}
}

// enter opens an account, with a turn's credit.
func (f *Flow[T]) enter() {
	for ; f.parent != nil && f.in == nil; f = f.parent {
		f.credit, f.turning = f.quantum(), true
		f.parent.fresh.push(f)
	}
}

// leave closes it, and those below it: a workload without debts has none of a source's.
func (f *Flow[T]) leave() {
	f.disband()
	f.in.remove(f)
	f.credit, f.turning = 0, false
	f.generation++
	if closed := f.queue.Closed; closed != nil {
		closed(f)
	}
}

func (f *Flow[T]) quantum() int64 { return f.queue.quantum * f.Weight }

// turn returns whose turn it is of those below f, of whom something waits.
func (f *Flow[T]) turn() *Flow[T] {
	for visits := 0; ; visits++ {
		if c := f.fresh.first; c != nil {
			if c.queued > 0 && c.credit > 0 {
				return c
			}
			c.turning = false
			f.fresh.remove(c)
			f.old.push(c)
			continue
		}
		c := f.old.first
		if !c.turning {
			if c.queued == 0 && c.credit >= 0 {
				c.leave()
				continue
			}
			c.turning = true
			c.credit = min(c.credit, 0) + c.quantum() // what it did not want is not saved up
		}
		if c.queued > 0 && c.credit > 0 {
			return c
		}
		c.turning = false
		f.old.remove(c)
		f.old.push(c)
		if visits >= 2*f.old.n { // all are in debt
			f.skip()
			visits = 0
		}
	}
}

// skip gives everybody as many turns as the first that waits needs to be out of debt, but one: so many rounds in which
// nobody is served need not be gone through.
func (f *Flow[T]) skip() {
	rounds := int64(-1)
	for c := f.old.first; c != nil; c = c.next {
		if n := -c.credit / c.quantum(); c.queued > 0 && (rounds < 0 || n < rounds) {
			rounds = n
		}
	}
	for c := f.old.first; c != nil && rounds > 0; {
		next := c.next
		if c.credit += rounds * c.quantum(); c.queued == 0 && c.credit >= c.quantum() {
			c.leave()
		}
		c = next
	}
}
