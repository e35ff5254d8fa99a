// Package pressure tells how hard pressed a proxy is, of what its workers and its process measure, and which of its measures
// are due. It must never look at a clock or at the system: it is told.
//
//	busy share, queue delay, memory ─► Controller ─► Level: lend less, queue, hand over, ask to move, refuse
//	work of every source ─► Excess: what each uses beyond its fair share of what can be carried
//	                     └► Moves: who is asked to use the remote tier, for how long, who may come home
//	congestion ─► Capacity: how many calls in flight can be carried (a remote proxy's admission)
package pressure
