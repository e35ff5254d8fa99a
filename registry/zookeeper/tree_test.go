package zookeeper

import (
	"bytes"
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// tree is an ensemble in memory, for tests of the logic on a clock that is not real. It keeps the rules that the logic
// rests on: counts of changes, watches that fire once, transactions, nodes that end with their session.
type tree struct {
	mu       sync.Mutex // guards what follows
	zxid     int64
	session  int64 // of the client under test
	nodes    map[string]*leaf
	watches  map[string]bool
	told     []func(event)
	lost     bool  // watches fire for nobody
	fail     error // of every request
	refuse   error // of every change
	requests []time.Time
	changes  []time.Time
	bounced  int
	held     chan struct{} // requests wait until it is closed; nil: they don't
}

type leaf struct {
	data          []byte
	czxid, mzxid  int64
	version       int32
	childrenCount int32
	owner         int64
}

func newTree() *tree {
	return &tree{session: 1, nodes: map[string]*leaf{"/": {}}, watches: map[string]bool{}}
}

var errCut = errors.New("cut off")

func (tr *tree) begin(ctx context.Context) error {
	tr.mu.Lock()
	held := tr.held
	tr.requests = append(tr.requests, time.Now())
	tr.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	tr.mu.Lock()
	if tr.fail != nil {
		defer tr.mu.Unlock()
		return tr.fail
	}
	return nil // with the lock
}

func (tr *tree) node(l *leaf, children []string) node {
	return node{children, l.czxid, l.childrenCount, l.owner, l.owner == tr.session, l.mzxid, l.version}
}

func (tr *tree) children(ctx context.Context, p string, watch bool) (node, error) {
	if err := tr.begin(ctx); err != nil {
		return node{}, err
	}
	defer tr.mu.Unlock()
	l := tr.nodes[p]
	if l == nil {
		return node{}, zk.ErrNoNode
	}
	if watch {
		tr.watches["children "+p] = true
	}
	list := []string{}
	for name := range tr.nodes {
		if name != "/" && path.Dir(name) == p {
			list = append(list, path.Base(name))
		}
	}
	slices.Sort(list)
	return tr.node(l, list), nil
}

func (tr *tree) stat(ctx context.Context, p string, watch bool) (node, bool, error) {
	if err := tr.begin(ctx); err != nil {
		return node{}, false, err
	}
	defer tr.mu.Unlock()
	if watch {
		tr.watches["node "+p] = true
	}
	l := tr.nodes[p]
	if l == nil {
		return node{}, false, nil
	}
	return tr.node(l, nil), true, nil
}

func (tr *tree) text(ctx context.Context, p string) ([]byte, node, error) {
	if err := tr.begin(ctx); err != nil {
		return nil, node{}, err
	}
	defer tr.mu.Unlock()
	l := tr.nodes[p]
	if l == nil {
		return nil, node{}, zk.ErrNoNode
	}
	return bytes.Clone(l.data), tr.node(l, nil), nil
}

func (tr *tree) read(ctx context.Context, p string) ([]byte, int64, error) {
	b, n, err := tr.text(ctx, p)
	return b, n.czxid, err
}

func (tr *tree) write(ctx context.Context, p string, data []byte) error {
	if err := tr.begin(ctx); err != nil {
		return err
	}
	l := tr.nodes[p]
	if l == nil {
		tr.mu.Unlock()
		return zk.ErrNoNode
	}
	tr.zxid++
	l.data, l.mzxid, l.version = data, tr.zxid, l.version+1
	tr.tell("node " + p) // unlocks
	return nil
}

func (tr *tree) change(ctx context.Context, changes ...change) error {
	if err := tr.begin(ctx); err != nil {
		return err
	}
	tr.changes = append(tr.changes, time.Now())
	err := tr.refuse
	if err == nil {
		err = tr.apply(tr.session, changes...)
		if err == nil {
			return nil
		}
	}
	tr.mu.Unlock()
	return err
}

// apply makes all changes or none; it unlocks when it made them.
func (tr *tree) apply(session int64, changes ...change) error {
	gone := map[string]bool{}
	for _, c := range changes {
		l := tr.nodes[c.path]
		switch {
		case c.delete && l == nil:
			return zk.ErrNoNode
		case c.delete && c.version >= 0 && c.version != l.version:
			return zk.ErrBadVersion
		case c.delete:
			gone[c.path] = true
		case l != nil && !gone[c.path]:
			return zk.ErrNodeExists
		case tr.nodes[path.Dir(c.path)] == nil:
			return zk.ErrNoNode
		}
	}
	var told []string
	tr.zxid++
	for _, c := range changes {
		tr.nodes[path.Dir(c.path)].childrenCount++
		told = append(told, "node "+c.path, "children "+path.Dir(c.path))
		if c.delete {
			delete(tr.nodes, c.path)
			continue
		}
		tr.nodes[c.path] = &leaf{data: c.data, czxid: tr.zxid, mzxid: tr.zxid}
		if c.ephemeral {
			tr.nodes[c.path].owner = session
		}
	}
	tr.tell(told...)
	return nil
}

// tell fires watches. It is called with the lock and releases it.
func (tr *tree) tell(watches ...string) {
	var events []event
	for _, w := range watches {
		if tr.watches[w] && !tr.lost {
			_, p, _ := strings.Cut(w, " ")
			events = append(events, event{path: p})
		}
		delete(tr.watches, w)
	}
	told := tr.told
	tr.mu.Unlock()
	for _, f := range told {
		for _, ev := range events {
			f(ev)
		}
	}
}

func (tr *tree) listen(f func(event)) { tr.told = append(tr.told, f) }
func (tr *tree) abs(p string) string  { return p }
func (tr *tree) bounce()              { tr.set(func() { tr.bounced++ }) }
func (tr *tree) set(f func())         { tr.mu.Lock(); defer tr.mu.Unlock(); f() }
func (tr *tree) count() (n int)       { tr.set(func() { n = len(tr.requests) }); return n }
func (tr *tree) owner(p string) int64 { tr.mu.Lock(); defer tr.mu.Unlock(); return tr.ownerOf(p) }
func (tr *tree) state(state zk.State) { tr.announce(event{state: state}) }
func (tr *tree) ownerOf(p string) int64 {
	if l := tr.nodes[p]; l != nil {
		return l.owner
	}
	return 0
}

func (tr *tree) announce(ev event) {
	tr.mu.Lock()
	told := tr.told
	tr.mu.Unlock()
	for _, f := range told {
		f(ev)
	}
}

// put makes nodes as somebody else: with their parents, staying, or of a session.
func (tr *tree) put(session int64, paths ...string) {
	for _, p := range paths {
		tr.mu.Lock()
		if p != "/" && tr.nodes[path.Dir(p)] == nil {
			tr.mu.Unlock()
			tr.put(0, path.Dir(p))
			tr.mu.Lock()
		}
		if err := tr.apply(session, change{path: p, ephemeral: session != 0}); err != nil {
			tr.mu.Unlock()
			panic(err)
		}
	}
}

// steal takes a node over as another session does.
func (tr *tree) steal(session int64, p string) {
	tr.mu.Lock()
	if err := tr.apply(session, change{path: p, delete: true, version: -1}, change{path: p, ephemeral: true}); err != nil {
		tr.mu.Unlock()
		panic(err)
	}
}

func (tr *tree) remove(p string) {
	tr.mu.Lock()
	if err := tr.apply(0, change{path: p, delete: true, version: -1}); err != nil {
		tr.mu.Unlock()
		panic(err)
	}
}
