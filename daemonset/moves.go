package daemonset

import (
	"cmp"
	"slices"
	"time"

	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
)

// moveEvery is the shortest time between two writes of which the second changes only who is asked to move: every guest of the
// host reads the file at every write.
const moveEvery = 2 * time.Second

// moreEvery is the same for a list that only grows: who is asked late is served late.
const moreEvery = 300 * time.Millisecond

// maxMoves bounds the sources that the file asks to move: it stays far below addrfile.MaxSize.
const maxMoves = 256

// maxMoveKey bounds a source's key in the file, in bytes; a longer one can't be asked.
const maxMoveKey = 128

// SetMove asks these sources to use the remote tier from now on, each for so long, and no others. It is published within
// two seconds, sooner when it grows; what a source was asked for ends by itself. Safe for concurrent use.
func (b *Beacon) SetMove(ttl map[string]time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(ttl) == 0 && len(b.moves) == 0 {
		return
	}
	now, grows := time.Now(), len(ttl) > len(b.moves)
	for key := range b.moves {
		_, still := ttl[key]
		grows = grows && still
	}
	b.moves = make(map[string]time.Time, len(ttl))
	for key, d := range ttl {
		if d > 0 && key != "" && len(key) <= maxMoveKey {
			b.moves[key] = now.Add(d)
		}
	}
	due := b.wrote.Add(moveEvery) // sooner than a change of the remote proxies alone
	if grows {
		due = b.wrote.Add(moreEvery)
	}
	if !b.unsaid || due.Before(b.due) {
		b.due = due
	}
	b.tell()
}

// moving is what the file says of moves now. A reader counts the time to live from when it first reads a generation, so each
// write says what is left. Under b.mu.
func (b *Beacon) moving(now time.Time) []addrfile.Move {
	var out []addrfile.Move
	for key, until := range b.moves {
		if ms := until.Sub(now).Milliseconds(); ms > 0 {
			out = append(out, addrfile.Move{Key: key, TTLMillis: ms})
		} else {
			delete(b.moves, key)
		}
	}
	slices.SortFunc(out, func(a, b addrfile.Move) int { // those that are asked longest are kept
		return cmp.Or(cmp.Compare(b.TTLMillis, a.TTLMillis), cmp.Compare(a.Key, b.Key))
	})
	return out[:min(len(out), maxMoves)]
}
