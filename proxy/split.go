package proxy

import (
	"math/bits"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// This file chooses the part of a service's endpoints that a call goes to (govern.Split). The choice is made once for a
// call and holds when it is sent again.

// golden is 2^64 divided by the golden section: steps of it fill a circle as evenly as steps can, so that after any number
// of calls every part has had its share, to within a few calls.
const golden = 0x9E3779B97F4A7C15

// maxTurns bounds the splits whose turns a worker remembers: rules that are replaced leave theirs behind.
const maxTurns = 1024

// toPart chooses the part, if a rule splits the service and none was chosen yet. Loop only.
func (w *worker) toPart(c *call, m *protocol.Message) {
	if c.part != nil || c.policy == nil || c.policy.Split == nil {
		return
	}
	s := c.policy.Split
	if len(s.Parts) == 1 {
		c.part = &s.Parts[0]
		return
	}
	var at uint64
	if key, ok := m.Find(s.Sticky); ok && s.Sticky != "" {
		at = stickTo(key, c.policy.By[govern.ActSplit])
	} else {
		at = w.nextTurn(c, s)
	}
	c.part = partAt(s, at)
}

// turn is the next place of a split, of 2^64.
func (w *worker) turn(s *govern.Split) uint64 {
	if w.turns == nil || len(w.turns) >= maxTurns {
		if _, ok := w.turns[s]; !ok {
			w.turns = map[*govern.Split]uint64{}
		}
	}
	at, ok := w.turns[s]
	if !ok {
		at = w.rnd.Uint64() // workers don't begin together
	}
	w.turns[s] = at + golden
	return at
}

// nextTurn is turn, and takes it back where it is only rehearsed.
func (w *worker) nextTurn(c *call, s *govern.Split) uint64 {
	if c.dry == nil {
		return w.turn(s)
	}
	was, had := w.turns[s]
	at := w.turn(s)
	if had {
		w.turns[s] = was
	} else {
		delete(w.turns, s)
	}
	return at
}

// partAt is the part that has a place.
func partAt(s *govern.Split, at uint64) *govern.Part {
	n, _ := bits.Mul64(at, uint64(s.Total))
	left := int(n)
	for i := range s.Parts {
		if left -= s.Parts[i].Weight; left < 0 {
			return &s.Parts[i]
		}
	}
	return &s.Parts[len(s.Parts)-1]
}

// stickTo is the place of a caller's header or cookie, on every host the same. Rules differ in it: who is among the few in
// one of them is not in all.
func stickTo(key []byte, rule string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(rule) {
		h = (h ^ uint64(rule[i])) * 0x100000001b3
	}
	h *= 0x100000001b3
	for _, b := range key {
		h = (h ^ uint64(b)) * 0x100000001b3
	}
	h ^= h >> 30 // FNV-1a mixes its high bits badly for short keys
	h *= 0xBF58476D1CE4E5B9
	h ^= h >> 27
	h *= 0x94D049BB133111EB
	return h ^ h>>31
}
