// Command prove-rules shows that what the rules say is what happens, and what it costs: bad endpoints are kept away from by
// evidence, parts get their shares, rules change under load, and a call with five hundred rules costs little more than
// one without. It must never count what the proxy says where the servers can be asked.
//
//	units ─► bellhop local, rules ─► servers that are slow, fail, are dead, or throw what they declare
//
// Exit code 1: a target was missed, or a row did not come to its end.
package main

import "github.com/bellhop-mesh/bellhop/scripts/prove/governed"

func main() {
	governed.Main("prove-rules", []governed.Row{
		{Name: "outliers", Play: outliers},
		{Name: "declared", Play: declared},
		{Name: "badworkload", Play: badWorkload},
		{Name: "canary", Play: canary},
		{Name: "cookie", Play: cookie},
		{Name: "subset", Play: subset},
		{Name: "changes", Play: changes},
		{Name: "cost", Play: cost},
	})
}
