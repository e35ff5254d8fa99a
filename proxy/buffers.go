package proxy

import "slices"

// bufferPool is a worker's free lists of buffers: many small ones, and a few for large bodies. Loop only.
type bufferPool struct {
	free [][]byte
	big  [][]byte
}

const (
	newBuffer   = 4 << 10  // bytes of a new buffer
	keepBuffer  = 64 << 10 // the largest small buffer
	keepBig     = 2 << 20  // the largest buffer that is kept
	freeBuffers = 256      // small ones that are kept
	bigBuffers  = 4
	headroom    = 256 // what a rewritten header may add to a frame, about
)

// get returns an empty buffer for about n bytes that have come.
func (p *bufferPool) get(n int) []byte {
	if last := len(p.free) - 1; last >= 0 && (n <= newBuffer || n <= cap(p.free[last])) {
		b := p.free[last]
		p.free = p.free[:last]
		return b
	}
	if n <= newBuffer {
		return make([]byte, 0, newBuffer)
	}
	for i, b := range p.big {
		if cap(b) >= n {
			p.big = slices.Delete(p.big, i, i+1)
			return b
		}
	}
	return make([]byte, 0, n+headroom)
}

// grow moves b to a buffer for n bytes.
func (p *bufferPool) grow(b []byte, n int) []byte {
	larger := append(p.get(n), b...)
	p.put(b)
	return larger
}

// put takes a buffer back, if it is worth keeping and there is room.
func (p *bufferPool) put(b []byte) {
	switch c := cap(b); {
	case c < newBuffer || c > keepBig:
	case c <= keepBuffer:
		if len(p.free) < freeBuffers {
			p.free = append(p.free, b[:0])
		}
	case len(p.big) < bigBuffers:
		p.big = append(p.big, b[:0])
	}
}
