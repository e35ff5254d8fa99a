package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/bellhop-mesh/bellhop/registry"
)

// Document is the data of one node, watched: a registry.DocumentSource. Create it with NewDocument.
type Document struct {
	path   string // as the configuration names it
	node   string // with the chroot
	from   string
	client desk
	log    *slog.Logger
	audit  time.Duration
	bell   chan struct{} // capacity 1: read now

	mu       sync.Mutex // guards what follows
	armed    bool       // a watch stands, as far as we know
	read     bool       // once in this process, whether it is there or not
	mzxid    int64      // what was read; 0: it is not there
	refused  bool       // … and was not published
	failures int
	stats    DocumentStats
}

// DocumentStats are a document's counters, read at scrape.
type DocumentStats struct {
	Audits    uint64    // rounds
	Corrected uint64    // changes that an audit found, of which no event had told
	Failures  uint64    // readings that failed
	Refused   uint64    // versions that were longer than registry.MaxDocument
	Checked   time.Time // when the ensemble last confirmed what was published; zero: never in this process
	Problem   string    // why it is not known now, or why the last version is not in use
}

// desk is what a Document needs of a Client; tests of the logic have one without an ensemble.
type desk interface {
	stat(ctx context.Context, path string, watch bool) (node, bool, error)
	text(ctx context.Context, path string) ([]byte, node, error)
	write(ctx context.Context, path string, data []byte) error
	change(ctx context.Context, changes ...change) error
	listen(func(event))
	abs(path string) string
}

// NewDocument returns the document in a node's data, over a client that others may use as well. The path has passed
// CheckPath; the client's chroot is put before it. Before the client's first request only.
func NewDocument(c *Client, path string, log *slog.Logger) *Document {
	return newDocument(c, path, c.cfg.Servers, log)
}

func newDocument(c desk, path, servers string, log *slog.Logger) *Document {
	if log == nil {
		log = slog.Default()
	}
	d := &Document{path: path, node: c.abs(path), client: c, log: log, audit: 25 * time.Second, bell: make(chan struct{}, 1)}
	d.from = fmt.Sprintf("node %s of %s", d.node, servers)
	c.listen(d.happened)
	return d
}

// Name returns "zookeeper" and the path.
func (d *Document) Name() string { return "zookeeper " + d.path }

// Stats returns the counters as they are now. Safe for concurrent use.
func (d *Document) Stats() DocumentStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// Put replaces the document, and creates its node and what is missing above it. A document that is longer than
// registry.MaxDocument, or empty, is refused. Safe for concurrent use.
func (d *Document) Put(ctx context.Context, data []byte) error {
	if len(data) == 0 || len(data) > registry.MaxDocument {
		return fmt.Errorf("write %s: the document has %d bytes; 1 to %d are right", d.node, len(data), registry.MaxDocument)
	}
	for {
		err := d.client.write(ctx, d.node, data)
		if !errors.Is(err, zk.ErrNoNode) {
			return err
		}
		create := change{path: d.node, data: data}
		err = d.client.change(ctx, create)
		if errors.Is(err, zk.ErrNoNode) {
			if err = ensureAbove(ctx, d.client, d.node); err == nil {
				err = d.client.change(ctx, create)
			}
		}
		if !errors.Is(err, zk.ErrNodeExists) { // somebody was quicker
			return err
		}
	}
}

// happened takes an event. It runs on the library's goroutine and must not wait.
func (d *Document) happened(ev event) {
	switch {
	case ev.path == d.node:
		d.mu.Lock()
		d.armed = false
		d.mu.Unlock()
		ring(d.bell)
	case ev.path == "" && ev.state == zk.StateHasSession: // whether every watch was set again is only logged by the library
		ring(d.bell)
	}
}

// Run publishes every version until ctx ends; it then returns nil. To be called once.
func (d *Document) Run(ctx context.Context, publish func(registry.Document)) error {
	told := false
	for ctx.Err() == nil {
		wait := d.look(ctx, told, publish)
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-d.bell:
			t.Stop()
			told = true
			if !pause(ctx, readGap) { // somebody may be writing it again and again
				return nil
			}
		case <-t.C:
			told = false
		}
	}
	return nil
}

// look compares the node with what was read, reads it when it differs, and returns when to look again. told: an event,
// or a reconnect, is the reason; a difference that nothing told of is a correction.
func (d *Document) look(ctx context.Context, told bool, publish func(registry.Document)) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	d.mu.Lock()
	watch, known, was := !d.armed, d.read && d.failures == 0, d.mzxid
	d.armed = true
	d.mu.Unlock()
	n, there, err := d.client.stat(ctx, d.node, watch)
	if err != nil {
		return d.failed(err, watch)
	}
	if !there {
		n.mzxid = 0
	}
	if !told && known {
		if d.audited(n.mzxid != was) {
			if !pause(ctx, auditGrace) { // an event may be on its way
				return 0
			}
			if d.lost() {
				return 0 // and is read at once, with a new watch
			}
		}
	}
	if known && n.mzxid == was {
		d.confirm()
		return jittered(d.audit)
	}
	return d.fetch(ctx, there, publish)
}

func (d *Document) confirm() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.refused {
		d.stats.Checked = time.Now()
	}
}

// audited counts a round.
func (d *Document) audited(differs bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.Audits++
	return differs
}

// lost says whether no event has come, and gives the watch up then.
func (d *Document) lost() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.armed {
		return false
	}
	d.armed, d.read = false, false
	d.stats.Corrected++
	d.log.Warn("a watch was lost; the document is read again", "from", d.from)
	return true
}

// fetch reads the node and publishes what is in it.
func (d *Document) fetch(ctx context.Context, there bool, publish func(registry.Document)) time.Duration {
	doc, n := registry.Document{From: d.from}, node{}
	if there {
		data, at, err := d.client.text(ctx, d.node)
		if errors.Is(err, zk.ErrNoNode) { // gone since; the watch tells
			return 0
		}
		if err != nil {
			return d.failed(err, false)
		}
		if n = at; data == nil {
			data = []byte{} // it is there, and empty
		}
		doc.Data, doc.Version = data, strconv.FormatInt(n.mzxid, 10)
	}
	d.mu.Lock()
	news := !d.read || d.mzxid != n.mzxid
	d.read, d.mzxid, d.failures, d.stats.Problem = true, n.mzxid, 0, ""
	d.refused = len(doc.Data) > registry.MaxDocument
	if d.refused {
		d.stats.Problem = fmt.Sprintf("%s has %d bytes; a document has at most %d; the version before it stays in force", d.from, len(doc.Data), registry.MaxDocument)
	}
	problem := d.stats.Problem
	if d.refused && news {
		d.stats.Refused++
	}
	d.mu.Unlock()
	switch {
	case problem != "" && news:
		d.log.Error("a document is refused", "problem", problem, "version", doc.Version)
	case problem == "" && news:
		publish(doc)
		fallthrough
	default:
		d.confirm()
	}
	return jittered(d.audit)
}

// failed has the node looked at again after a while that grows.
func (d *Document) failed(err error, watch bool) time.Duration {
	if errors.Is(err, context.Canceled) {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if watch {
		d.armed = false
	}
	news := d.stats.Problem != err.Error()
	d.stats.Failures++
	d.stats.Problem = err.Error()
	wait := min(firstRetry<<min(d.failures, 10), lastRetry)
	d.failures++
	if news {
		d.log.Warn("a document could not be read; what was known stands", "problem", err)
	}
	return jittered(wait)
}
