package zookeeper

import (
	"context"
	"errors"
	"path"

	"github.com/go-zookeeper/zk"
)

// change is a part of a transaction: a node is deleted when it still has the version, or else created.
type change struct {
	path      string
	delete    bool
	version   int32
	ephemeral bool
	data      []byte
}

const verbChange = "write"

// change makes all of the changes or none, at once for everybody who watches.
func (c *Client) change(ctx context.Context, changes ...change) error {
	ops := make([]any, len(changes))
	for i, ch := range changes {
		if ch.delete {
			ops[i] = &zk.DeleteRequest{Path: ch.path, Version: ch.version}
			continue
		}
		op := &zk.CreateRequest{Path: ch.path, Data: ch.data, Acl: c.acl}
		if ch.ephemeral {
			op.Flags = zk.FlagEphemeral
		}
		ops[i] = op
	}
	_, err := do(ctx, c, verbChange, changes[0].path, func() (struct{}, error) {
		_, err := c.conn.Multi(ops...)
		return struct{}{}, err
	})
	return err
}

// write replaces a node's data, whatever it was.
func (c *Client) write(ctx context.Context, path string, data []byte) error {
	_, err := do(ctx, c, "replace the data of", path, func() (struct{}, error) {
		_, err := c.conn.Set(path, data, -1)
		return struct{}{}, err
	})
	return err
}

// changer is what ensure needs of a Client.
type changer interface {
	change(ctx context.Context, changes ...change) error
}

// ensureAbove creates what is missing above a node.
func ensureAbove(ctx context.Context, c changer, node string) error {
	if path.Dir(node) == "/" {
		return nil
	}
	return ensure(ctx, c, path.Dir(node))
}

// ensure creates a node that stays, and what is missing above it. It begins at the node: whoever may write there may
// not be allowed to write above it.
func ensure(ctx context.Context, c changer, dir string) error {
	err := c.change(ctx, change{path: dir})
	if errors.Is(err, zk.ErrNoNode) && path.Dir(dir) != "/" {
		if err = ensure(ctx, c, path.Dir(dir)); err == nil {
			err = c.change(ctx, change{path: dir})
		}
	}
	if errors.Is(err, zk.ErrNodeExists) {
		return nil
	}
	return err
}
