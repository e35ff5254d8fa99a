package proxy

import (
	"bytes"
	"testing"

	"github.com/bellhop-mesh/bellhop/registry"
)

// TestBufferPool: a buffer is as large as was asked, comes back for re-use, and the lists have bounds.
func TestBufferPool(t *testing.T) {
	var p bufferPool
	for _, n := range []int{0, 1, newBuffer, newBuffer + 1, keepBuffer, keepBuffer + 1, keepBig, keepBig + 1} {
		b := p.get(n)
		if len(b) != 0 || cap(b) < max(n, newBuffer) {
			t.Errorf("get(%d): %d of %d bytes", n, len(b), cap(b))
		}
		p.put(b)
	}
	big := append(p.get(keepBig), "kept"...)
	grown := p.grow(append(p.get(10), "small"...), keepBig)
	if !bytes.Equal(big, []byte("kept")) || !bytes.Equal(grown, []byte("small")) {
		t.Errorf("contents %q, %q", big, grown)
	}
	for range 2 * freeBuffers {
		p.put(make([]byte, 0, newBuffer))
		p.put(make([]byte, 0, keepBig))
	}
	p.put(nil)
	if len(p.free) > freeBuffers || len(p.big) > bigBuffers {
		t.Errorf("%d small and %d big buffers are kept", len(p.free), len(p.big))
	}
}

// TestLargeFrameAllocation: what is allocated for an unfinished frame is about twice what has come at most, whatever it
// announces.
func TestLargeFrameAllocation(t *testing.T) {
	r := newRig(t, nil, &registry.Snapshot{})
	c := r.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, Identity{Source: "a"})
	d := c.ctx.(*downstream)
	head := []byte{0, 0xf0, 0, 0, 0x80, 1, 0, 1} // announces 15 MiB
	c.bring(head)
	for sent := len(head); sent < 1<<20; sent += 32 << 10 {
		if cap(d.in) > max(2*sent+headroom, 2*newBuffer) {
			t.Fatalf("%d bytes are held for %d that have come", cap(d.in), sent)
		}
		c.bring(bytes.Repeat([]byte{'x'}, 32<<10))
	}
	if r.p.bytes.Load() < 1<<20 {
		t.Errorf("%d bytes are counted", r.p.bytes.Load())
	}
}
