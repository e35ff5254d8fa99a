// Package pressure tells how hard pressed a proxy is, of what its workers and its process measure, and which of its measures
// are due. It must never look at a clock or at the system: it is told.
//
//	busy share, queue delay, memory ─► Controller ─► Level: lend less, queue, hand over, ask to move, refuse
package pressure
