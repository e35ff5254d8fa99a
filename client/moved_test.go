package client

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
)

// TestMarked: a moved caller says so once a connection, to the remote tier only; nobody else does.
func TestMarked(t *testing.T) {
	for _, key := range []string{"me", "you"} {
		h := newMovedHost(t, key)
		for range 3 {
			h.call(t)
		}
		h.remote.mu.Lock()
		marks := h.remote.marks
		h.remote.mu.Unlock()
		h.local.mu.Lock()
		local := h.local.marks
		h.local.mu.Unlock()
		want := 0
		if key == "me" {
			want = 1
		}
		if marks != want || local != 0 {
			t.Errorf("move names %s: %d marks at the remote tier, %d at the local proxy", key, marks, local)
		}
	}
}

// TestMarkedWhenFull: a call that the local proxy had no room for says so at the remote tier as well.
func TestMarkedWhenFull(t *testing.T) {
	h := newMovedHost(t, "you")
	h.local.set("not_executed")
	h.call(t)
	h.call(t)
	h.remote.mu.Lock()
	defer h.remote.mu.Unlock()
	if h.remote.marks != 1 {
		t.Errorf("%d marks", h.remote.marks)
	}
}

// TestGoHomeText: a fault in a framing without a header sends a moved caller home as well.
func TestGoHomeText(t *testing.T) {
	h := newMovedHost(t, "me")
	h.remote.mu.Lock()
	h.remote.mode = "go_home"
	h.remote.mu.Unlock()
	h.call(t)
	if v, av := h.c.look(); v.moved || !av.Moved("me") {
		t.Errorf("after go home: moved %v, and the file says %v", v.moved, av.Moved("me"))
	}
}

// movedHost is a client with a local and a remote fake, whose address file asks one source to move.
type movedHost struct {
	c             *Client
	local, remote *fake
}

func newMovedHost(t *testing.T, key string) *movedHost {
	dir := filepath.Join(t.TempDir(), "pub")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h := &movedHost{local: newFake(t, "local", "unix", dir), remote: newFake(t, "remote", "tcp", dir)}
	w, err := addrfile.OpenWriter(dir, addrfile.WriterOptions{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	if _, err := w.Write(addrfile.File{
		State: addrfile.Serving, Local: []addrfile.Addr{{Net: addrfile.Unix, Addr: "local.sock"}},
		Remote: []addrfile.Addr{{Net: addrfile.TCP, Addr: h.remote.addr}}, Move: []addrfile.Move{{Key: key, TTLMillis: 60000}},
	}); err != nil {
		t.Fatal(err)
	}
	h.c, err = New(Options{AddressFile: filepath.Join(dir, addrfile.Name), Source: "me"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.c.Close() })
	return h
}

func (h *movedHost) call(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := NewTClient(h.c, "Case", CallOptions{}).Call(ctx, "where", &text{id: 1, s: "x"}, &text{}); err != nil {
		t.Errorf("%v", err)
	}
}

var _ thrift.TStruct = movedArgs{}
