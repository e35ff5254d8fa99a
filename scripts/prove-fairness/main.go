// Command prove-fairness shows that one source of a shared proxy cannot hurt the others: what nine sources feel while a
// tenth has ten times their work, and how a proxy without time to spare shares it out. It must never compare a noisy
// run with a quiet one of less work.
//
//	polite-1.service … polite-9.service ─┐
//	                    greedy.service ──┴─► bellhop on a fifth of a core ─► one server
//
// Exit code 1: a target was missed, or a row did not come to its end.
package main

import "github.com/bellhop-mesh/bellhop/scripts/prove/governed"

func main() {
	governed.Main("prove-fairness", []governed.Row{
		{Name: "calls", Play: moreCalls},
		{Name: "bytes", Play: biggerCalls},
		{Name: "connections", Play: moreConnections},
		{Name: "flood", Play: flood},
		{Name: "equal", Play: equal},
		{Name: "weights", Play: weights},
		{Name: "workloads", Play: workloads},
	})
}
