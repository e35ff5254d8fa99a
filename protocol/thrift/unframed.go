package thrift

import "github.com/bellhop-mesh/bellhop/protocol"

// Parts of an unframed message, as protocol.Scan remembers them.
const (
	partHead uint8 = iota
	partBody
)

// splitUnframed finds the end of a message that has no length, by walking its struct. What was walked in one call is
// not looked at in the next: sc remembers the position and, for a message in pieces, the open structs.
func splitUnframed(sc *protocol.Scan, buf []byte, max int, p protocol.Payload) (int, error) {
	if max <= 0 {
		max = protocol.DefaultMaxFrame
	}
	if sc.Part == partHead {
		var h head
		need, e := h.parse(buf, p)
		switch {
		case e != nil:
			return 0, e
		case need > 0:
			return 0, waitFor(sc, need, max)
		}
		sc.Pos, sc.Part = h.body, partBody
	}
	// A message that is there as a whole needs no walker that outlives this call. A walker that does is done with the last
	// message, so it begins anew.
	w := sc.Walk
	var local protocol.Walker
	if w == nil {
		w = &local
	}
	pos, done, need, err := w.Resume(p, buf, sc.Pos)
	if err != nil {
		return 0, err
	}
	if !done {
		if sc.Walk == nil {
			sc.Walk = new(protocol.Walker)
			*sc.Walk = local
		}
		sc.Pos = pos
		return 0, waitFor(sc, need, max)
	}
	if pos > max {
		return 0, errTooLarge
	}
	sc.Pos, sc.Part, sc.Need = 0, partHead, 0
	return pos, nil
}

func waitFor(sc *protocol.Scan, need, max int) error {
	if need > max {
		return errTooLarge
	}
	sc.Need = need
	return nil
}
