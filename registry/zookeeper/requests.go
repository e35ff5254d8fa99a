package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-zookeeper/zk"
)

// abs is a path with the chroot before it. The library takes a chroot and does nothing with it.
func (c *Client) abs(path string) string {
	if path == "/" && c.chroot != "" {
		return c.chroot
	}
	return c.chroot + path
}

// await waits until there is a session and the digest was shown, where there is one: the library lets requests wait
// without a bound.
func (c *Client) await(ctx context.Context) error {
	c.mu.Lock()
	up := c.up
	c.mu.Unlock()
	for _, ready := range []chan struct{}{up, c.authed} {
		select {
		case <-ready:
		case <-ctx.Done():
			if why := c.Problem(); why != "" {
				return fmt.Errorf("%w: %s", errDown, why)
			}
			return ctx.Err()
		case <-c.ended:
			return errGivenUp
		}
	}
	return nil
}

// do makes one request and waits for it or for ctx. The library's requests can't be called off: one that is given up
// ends on its own with the connection, or when no server can be reached, and its result is dropped.
func do[T any](ctx context.Context, c *Client, verb, path string, request func() (T, error)) (T, error) {
	var none T
	if err := c.await(ctx); err != nil {
		return none, told(verb, path, err)
	}
	type result struct {
		v   T
		err error
	}
	ch := make(chan result, 1)
	go func() {
		v, err := request()
		ch <- result{v, err}
	}()
	select {
	case r := <-ch:
		if r.err != nil {
			return none, told(verb, path, r.err)
		}
		return r.v, nil
	case <-ctx.Done():
		return none, told(verb, path, ctx.Err())
	}
}

// told says what was asked for, and in what is common what to do about it.
func told(verb, path string, err error) error {
	switch {
	case errors.Is(err, zk.ErrNoServer):
		err = errDown
	case errors.Is(err, zk.ErrNoAuth) && verb == verbChange:
		err = fmt.Errorf("%w; the ACL of the node above does not let this digest create or delete nodes", err)
	case errors.Is(err, zk.ErrNoAuth):
		err = fmt.Errorf("%w; the node's ACL does not let this digest %s it", err, verb)
	case errors.Is(err, zk.ErrInvalidACL):
		err = fmt.Errorf("%w; the server knows no digest of this session", err)
	case strings.HasPrefix(err.Error(), "unknown error: -5"):
		err = errTooLong
	}
	return fmt.Errorf("%s %s: %w", verb, path, err)
}

// lasting says whether asking again at once is of no use.
func lasting(err error) bool {
	return errors.Is(err, zk.ErrNoAuth) || errors.Is(err, errTooLong) || errors.Is(err, zk.ErrInvalidACL) || errors.Is(err, zk.ErrInvalidPath)
}

// node is what is known of a node without its data.
type node struct {
	children []string
	czxid    int64 // when it was created
	changes  int32 // how many children were created and removed under it, in all
	owner    int64 // the session that it ends with; 0: it stays
	ours     bool  // … which is this one
	mzxid    int64 // when its data was written last
	version  int32 // how often its data was written after it was created
}

func (c *Client) nodeFrom(children []string, s *zk.Stat) node {
	return node{children, s.Czxid, s.Cversion, s.EphemeralOwner, s.EphemeralOwner != 0 && s.EphemeralOwner == c.conn.SessionID(), s.Mzxid, s.Version}
}

// children lists a node, and with watch has its next change told.
func (c *Client) children(ctx context.Context, path string, watch bool) (node, error) {
	return do(ctx, c, "list", path, func() (node, error) {
		var list []string
		var stat *zk.Stat
		var err error
		if watch {
			list, stat, _, err = c.conn.ChildrenW(path)
		} else {
			list, stat, err = c.conn.Children(path)
		}
		if err != nil {
			return node{}, err
		}
		return c.nodeFrom(list, stat), nil
	})
}

// stat looks at a node; with watch its coming, or its end, is told. A node that is not there is no error.
func (c *Client) stat(ctx context.Context, path string, watch bool) (n node, there bool, err error) {
	type answer struct {
		node
		there bool
	}
	a, err := do(ctx, c, "look at", path, func() (answer, error) {
		var stat *zk.Stat
		var there bool
		var err error
		if watch {
			there, stat, _, err = c.conn.ExistsW(path)
		} else {
			there, stat, err = c.conn.Exists(path)
		}
		if err != nil || !there {
			return answer{}, err
		}
		return answer{c.nodeFrom(nil, stat), true}, nil
	})
	return a.node, a.there, err
}

// read returns a node's data and when the node was created.
func (c *Client) read(ctx context.Context, path string) (data []byte, czxid int64, err error) {
	data, n, err := c.text(ctx, path)
	return data, n.czxid, err
}

// text returns a node's data with the node.
func (c *Client) text(ctx context.Context, path string) (data []byte, n node, err error) {
	type answer struct {
		data []byte
		node
	}
	a, err := do(ctx, c, "read", path, func() (answer, error) {
		b, stat, err := c.conn.Get(path)
		if err != nil {
			return answer{}, err
		}
		return answer{b, c.nodeFrom(nil, stat)}, nil
	})
	return a.data, a.node, err
}
