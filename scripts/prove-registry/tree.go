package main

import (
	"errors"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// tree is the operator's session: it registers and removes, by ways that no event touches.
type tree struct{ conn *zk.Conn }

type quiet struct{}

// Printf says nothing.
func (quiet) Printf(string, ...any) {}

func openTree(servers string) (*tree, error) {
	c, _, err := zk.Connect(strings.Split(servers, ","), 10*time.Second, zk.WithLogger(quiet{}))
	return &tree{c}, err
}

func (t *tree) close() { t.conn.Close() }

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

// put creates a node with its parents.
func (t *tree) put(p string) error {
	return insist(func() error {
		_, err := t.conn.Create(p, nil, 0, zk.WorldACL(zk.PermAll))
		if errors.Is(err, zk.ErrNoNode) && path.Dir(p) != "/" {
			if err := t.put(path.Dir(p)); err != nil {
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

// write creates a node with its parents, if need be, and replaces what it says.
func (t *tree) write(p, data string) error {
	if err := t.put(p); err != nil {
		return err
	}
	return insist(func() error {
		_, err := t.conn.Set(p, []byte(data), -1)
		return err
	})
}

// apply creates and removes nodes, in transactions of at most batch changes.
func (t *tree) apply(ops []any) error {
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

func create(p string) any {
	return &zk.CreateRequest{Path: p, Acl: zk.WorldACL(zk.PermAll)}
}

func remove(p string) any { return &zk.DeleteRequest{Path: p, Version: -1} }
