package zookeeper

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// reader runs a document and keeps what it publishes.
type reader struct {
	*Document
	client *Client
	t      *testing.T
	mu     sync.Mutex
	all    []registry.Document
	news   chan struct{}
}

func read(t *testing.T, cc ClientConfig, path string, audit time.Duration) *reader {
	t.Helper()
	cc.Log = testLog(t)
	c, err := NewClient(cc)
	if err != nil {
		t.Fatal(err)
	}
	d := &reader{client: c, t: t, Document: NewDocument(c, path, testLog(t)), news: make(chan struct{}, 1)}
	if audit != 0 {
		d.audit = audit
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { _ = d.Run(ctx, d.take) })
	t.Cleanup(func() {
		cancel()
		done.Wait()
		c.Close()
	})
	return d
}

func (d *reader) take(doc registry.Document) {
	d.mu.Lock()
	d.all = append(d.all, doc)
	d.mu.Unlock()
	ring(d.news)
}

func (d *reader) texts() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, doc := range d.all {
		if doc.Data == nil {
			out = append(out, "none")
		} else {
			out = append(out, string(doc.Data))
		}
	}
	return out
}

// await waits until the document that was published last is this one.
func (d *reader) await(text string) {
	d.t.Helper()
	for deadline := time.After(20 * time.Second); ; {
		if list := d.texts(); len(list) > 0 && list[len(list)-1] == text {
			return
		}
		select {
		case <-d.news:
		case <-deadline:
			d.t.Fatalf("%s: not within 20s; published were %q, stats %+v", text, d.texts(), d.Stats())
		}
	}
}

// TestDocument: a node's data is followed: its coming, its changes, its end; what is too long is refused on either side.
func TestDocument(t *testing.T) {
	e := servers(t)
	o, r := operate(t, e), root(t)
	d := read(t, ClientConfig{Servers: e.Servers() + r, MaxReply: 2 << 20}, "/config/rules", 0)
	d.await("none")
	if err := d.Put(t.Context(), []byte("one")); err != nil { // the chroot is not there either
		t.Fatal(err)
	}
	d.await("one")
	last := d.all[len(d.all)-1]
	if !strings.Contains(last.From, r+"/config/rules of "+e.Servers()) || last.Version == "" || d.Name() != "zookeeper /config/rules" {
		t.Errorf("got %+v of %s", last, d.Name())
	}
	if err := d.Put(t.Context(), []byte("two")); err != nil {
		t.Fatal(err)
	}
	d.await("two")
	for _, bad := range [][]byte{nil, make([]byte, registry.MaxDocument+1)} {
		if err := d.Put(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "1 to 900000 are right") {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
	if _, err := o.Set(r+"/config/rules", bytes.Repeat([]byte("x"), registry.MaxDocument+1), -1); err != nil {
		t.Fatal(err)
	}
	awaitText(t, func() string { return d.Stats().Problem }, "has 900001 bytes; a document has at most 900000; the version before it stays in force")
	if st := d.Stats(); st.Refused != 1 {
		t.Errorf("stats %+v", st)
	}
	most := strings.Repeat("y", registry.MaxDocument)
	if err := d.Put(t.Context(), []byte(most)); err != nil {
		t.Fatal(err)
	}
	d.await(most)
	o.remove(r + "/config/rules")
	d.await("none")
	o.put(r+"/config/rules", "")
	d.await("") // it is there, and empty
	if st := d.Stats(); st.Problem != "" || st.Corrected != 0 || d.client.lost.Load() != 0 {
		t.Errorf("stats %+v, connections lost %d", st, d.client.lost.Load())
	}
	if list := d.texts(); len(list) != 6 {
		t.Errorf("%d versions were published", len(list))
	}
}

// TestDocumentLost: an event that never arrives, a connection that ends, a session that expires, and all servers killed.
func TestDocumentLost(t *testing.T) {
	e := servers(t)
	o, r := operate(t, e), root(t)
	o.put(r, "one")
	write := func(text string) {
		t.Helper()
		o.insist(func() error {
			_, err := o.Set(r, []byte(text), -1)
			return err
		})
	}
	f := forward(t, func() string { return e.Addr(0) })
	d := read(t, ClientConfig{Servers: f.addr(), Session: 1500 * time.Millisecond}, r, 2*time.Second)
	d.await("one")
	for d.Stats().Audits == 0 { // whatever the connecting has told is over
		<-time.After(10 * time.Millisecond)
	}
	f.swallow.Store(true)
	write("two")
	d.await("two")
	if st := d.Stats(); st.Corrected != 1 || f.dropped.Load() != 1 {
		t.Errorf("dropped %d: %+v", f.dropped.Load(), st)
	}
	f.swallow.Store(false)
	write("three")
	d.await("three") // by the new watch
	f.silent.Store(true)
	write("four")
	<-time.After(5 * time.Second)
	f.silent.Store(false)
	d.await("four")
	for i := range 3 {
		e.Kill(i)
	}
	awaitText(t, func() string { return d.Stats().Problem }, "no ZooKeeper server can be reached")
	for i := range 3 {
		if err := e.Restart(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Await(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	write("five")
	d.await("five")
	want := []string{"one", "two", "three", "four", "five"}
	if got := d.texts(); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("published were %q", got)
	}
	if st := d.Stats(); st.Corrected != 1 || d.client.missed.Load() == 0 || st.Problem != "" {
		t.Errorf("expired %d: %+v", d.client.missed.Load(), st)
	}
}
