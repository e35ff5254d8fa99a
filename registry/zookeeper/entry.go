package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/bellhop-mesh/bellhop/registry"
)

// entry is one node whose children are instances: a service, or the remote proxies. Everything but members is guarded by
// the Source's lock; members belongs to the reader that has the entry, of which there is one at a time.
//
//	(new) ─► queued ─► busy ─► found: one child watch ──event──► queued …
//	                     └───► not there: forgotten after a while, or, when it was in use, one watch for its coming
type entry struct {
	name   string
	path   string // with the chroot
	layout Layout

	used   bool // was found once, or was in use at the last run: it is watched for good
	pinned bool // … and never forgotten
	first  bool // the first update waits for its answer
	usedAt time.Time

	queued, busy, again bool
	armed               bool // a watch stands, as far as we know
	answered            bool // once in this process
	found               bool
	ever                bool      // was found once in this process
	until               time.Time // not there: not asked again before
	lastRead            time.Time
	checked             time.Time // the last good answer
	before              time.Time // … of those that agree with what is published, while something else waits to be
	failures            int
	problem             string

	node      node
	service   *registry.Service
	saying    *registry.Service // what the update says that is being handed out
	published *registry.Service // what the last one said
	told      time.Time         // when it said so first
	members   map[string]*child // by the node's name
}

// child is one node under an entry, read once in its life: weights change by rules, not by a write to a hundred nodes.
type child struct {
	czxid int64
	m     member
	ok    bool // an instance that takes calls
}

// enqueue has an entry read, now or when it was read too shortly before. The lock is held.
func (s *Source) enqueue(e *entry) {
	switch {
	case e.queued:
	case e.busy:
		e.again = true
	default:
		e.queued = true
		if wait := readGap - time.Since(e.lastRead); wait > 0 && !e.lastRead.IsZero() {
			time.AfterFunc(wait, func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.push(e)
			})
			return
		}
		s.push(e)
	}
}

// enqueueLater is for an entry whose reading failed. The lock is held.
func (s *Source) enqueueLater(e *entry, wait time.Duration) {
	time.AfterFunc(jittered(wait), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.enqueue(e)
	})
}

func (s *Source) push(e *entry) {
	s.queue = append(s.queue, e)
	ring(s.work)
}

// reader takes entries from the queue until ctx ends.
func (s *Source) reader(ctx context.Context) {
	for {
		e, more := s.pop()
		if e == nil {
			select {
			case <-ctx.Done():
				return
			case <-s.work:
			}
			continue
		}
		if more {
			ring(s.work)
		}
		within, cancel := context.WithTimeout(ctx, readTimeout)
		s.look(within, e)
		cancel()
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		e.busy = false
		if e.again {
			e.again = false
			s.enqueue(e)
		}
		s.mu.Unlock()
	}
}

func (s *Source) pop() (e *entry, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return nil, false
	}
	e = s.queue[0]
	s.queue[0] = nil
	s.queue = s.queue[1:]
	e.queued, e.busy, e.lastRead = false, true, time.Now()
	return e, len(s.queue) > 0
}

// look reads an entry whole and tells what came of it. An error leaves what was known.
func (s *Source) look(ctx context.Context, e *entry) {
	watch := s.arm(e)
	n, err := s.client.children(ctx, e.path, watch)
	if err != nil && watch {
		s.disarm(e)
	}
	if err == nil && len(n.children) > maxInstances {
		err = fmt.Errorf("%w: %d instances; the bound is %d", errTooLong, len(n.children), maxInstances)
	}
	if err == nil {
		err = s.members(ctx, e, n)
	}
	switch {
	case err == nil:
		s.foundIt(e, n)
	case errors.Is(err, zk.ErrNoNode):
		s.absent(ctx, e)
	default:
		s.failed(e, err)
	}
}

// arm says whether a watch has to be set. It counts as set before the answer: the event may be told earlier than that.
func (s *Source) arm(e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	watch := !e.armed
	e.armed = true
	return watch
}

func (s *Source) disarm(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.armed = false
}

// members reads the children that are new. A child that was removed and created again between two listings has the same
// name; the parent counts both, and says so by a number of changes that the two listings do not explain. Then all are read.
func (s *Source) members(ctx context.Context, e *entry, n node) error {
	now := make(map[string]*child, len(n.children))
	var fresh []string
	if e.members != nil && e.node.czxid == n.czxid {
		for _, name := range n.children {
			if c := e.members[name]; c != nil {
				now[name] = c
			}
		}
		added, removed := len(n.children)-len(now), len(e.members)-len(now)
		if int32(added+removed) != n.changes-e.node.changes {
			clear(now)
		}
	}
	for _, name := range n.children {
		if now[name] == nil {
			fresh = append(fresh, name)
		}
	}
	read, err := s.readAll(ctx, e, fresh)
	if err != nil {
		return err
	}
	maps.Copy(now, read)
	e.members = now
	return nil
}

// readAll reads children, several at a time.
func (s *Source) readAll(ctx context.Context, e *entry, names []string) (map[string]*child, error) {
	out := make(map[string]*child, len(names))
	var mu sync.Mutex // guards out, first, failed and bad
	var first, failed error
	bad := 0
	one := func(name string) bool {
		c, err := s.child(ctx, e, name)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case c == nil && err != nil:
			failed = err
		case err != nil:
			if bad++; first == nil {
				first = fmt.Errorf("node %q: %w", clip(name), err)
			}
		}
		out[name] = c
		return failed == nil
	}
	var all sync.WaitGroup
	for part := range slices.Chunk(names, max(1, (len(names)+s.o.Readers-1)/s.o.Readers)) {
		all.Go(func() {
			for _, name := range part {
				if !one(name) {
					return
				}
			}
		})
	}
	all.Wait()
	if failed != nil {
		return nil, failed
	}
	if bad > 0 {
		s.bad.Add(uint64(bad))
		s.o.Log.Warn("nodes that are no instances are left out", "path", e.path, "nodes", bad, "first", first)
	}
	return out, nil
}

// child reads one child. A nil child with an error: it could not be read. A child with an error: it is no instance.
func (s *Source) child(ctx context.Context, e *entry, name string) (*child, error) {
	c := &child{}
	if e.layout == Bellhop || e.layout == Dapeng {
		if !e.layout.interesting(name) { // judged by its name: not read
			_, _, err := e.layout.parse(name, nil, rules{})
			return c, err
		}
	} else if !e.layout.interesting(name) {
		return c, nil
	}
	var data []byte
	if !e.layout.dataless() {
		var err error
		data, c.czxid, err = s.client.read(ctx, e.path+"/"+name)
		switch {
		case errors.Is(err, zk.ErrNoNode): // gone since it was listed: an event is on its way
			return c, nil
		case errors.Is(err, errTooLong), errors.Is(err, zk.ErrNoAuth), errors.Is(err, zk.ErrInvalidPath):
			return c, err
		case err != nil:
			return nil, err
		}
	}
	var err error
	c.m, c.ok, err = e.layout.parse(name, data, rules{framing: s.o.CheckFraming, port: s.o.Endpoint})
	c.ok = c.ok && err == nil
	return c, err
}

// foundIt takes over what was read.
func (s *Source) foundIt(e *entry, n node) {
	list := make([]*child, 0, len(e.members))
	names := slices.Sorted(maps.Keys(e.members))
	for _, name := range names {
		if c := e.members[name]; c.ok {
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(a, b *child) int { return int(min(max(a.czxid-b.czxid, -1), 1)) })
	ms := make([]member, len(list))
	for i, c := range list {
		ms[i] = c.m
	}
	svc := e.layout.assemble(e.name, s.o.Framing, ms)
	s.mu.Lock()
	defer s.mu.Unlock()
	n.children = nil
	was := e.checked
	e.node, e.found, e.ever, e.failures, e.problem, e.checked = n, true, true, 0, "", time.Now()
	if !e.used {
		e.used, e.usedAt, s.usedNew = true, e.checked, true
		s.missing--
		s.watched++
	}
	first := s.answer(e)
	if e.service == nil || !reflect.DeepEqual(e.service, svc) {
		e.becomes(svc, was)
		ring(s.publish)
	} else if first {
		ring(s.publish)
	}
}

// becomes sets what is known; checked is when what was known before was confirmed last. The lock is held.
func (e *entry) becomes(svc *registry.Service, checked time.Time) {
	if e.service == e.published {
		e.before = checked
	}
	e.service = svc
}

// answer notes that an entry was answered; true when it was the last one that the first update waits for. The lock is held.
func (s *Source) answer(e *entry) bool {
	if e.answered {
		return false
	}
	e.answered = true
	if !e.first {
		return false
	}
	s.initial--
	return s.initial == 0
}
