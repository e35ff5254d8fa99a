package zkensemble

import (
	"errors"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// Tree is the operator's session: it registers and removes, past the relays. Safe for concurrent use.
type Tree struct{ conn *zk.Conn }

type quiet struct{}

// Printf says nothing.
func (quiet) Printf(string, ...any) {}

// OpenTree connects to servers, as Ensemble.Servers names them. The caller closes it.
func OpenTree(servers string) (*Tree, error) {
	c, _, err := zk.Connect(strings.Split(servers, ","), 10*time.Second, zk.WithLogger(quiet{}))
	return &Tree{c}, err
}

// Close ends the session.
func (t *Tree) Close() { t.conn.Close() }

// insist tries again while servers come and go.
func insist(f func() error) error {
	for deadline := time.Now().Add(30 * time.Second); ; {
		err := f()
		passing := errors.Is(err, zk.ErrConnectionClosed) || errors.Is(err, zk.ErrNoServer) || errors.Is(err, zk.ErrSessionExpired)
		if err == nil || !passing || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Put creates a node with its parents.
func (t *Tree) Put(p string) error {
	return insist(func() error {
		_, err := t.conn.Create(p, nil, 0, zk.WorldACL(zk.PermAll))
		if errors.Is(err, zk.ErrNoNode) && path.Dir(p) != "/" {
			if err := t.Put(path.Dir(p)); err != nil {
				return err
			}
			_, err = t.conn.Create(p, nil, 0, zk.WorldACL(zk.PermAll))
		}
		if errors.Is(err, zk.ErrNodeExists) {
			return nil
		}
		return err
	})
}

// Write creates a node with its parents, if need be, and replaces what it says.
func (t *Tree) Write(p, data string) error {
	if err := t.Put(p); err != nil {
		return err
	}
	return insist(func() error {
		_, err := t.conn.Set(p, []byte(data), -1)
		return err
	})
}

// Apply creates and removes nodes, in transactions of at most batch changes.
func (t *Tree) Apply(ops []any) error {
	for some := range slices.Chunk(ops, batch) {
		if err := insist(func() error {
			_, err := t.conn.Multi(some...)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// batch keeps a transaction well below the megabyte that a server takes.
const batch = 500

// Create is the making of a node, for Apply.
func Create(p string) any {
	return &zk.CreateRequest{Path: p, Acl: zk.WorldACL(zk.PermAll)}
}

// Remove is the removal of a node in whatever version, for Apply.
func Remove(p string) any { return &zk.DeleteRequest{Path: p, Version: -1} }
