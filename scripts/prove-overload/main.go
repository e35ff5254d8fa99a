// Command prove-overload shows what becomes of more calls than a proxy can carry: they go to the remote tier within its grant,
// and where that is full too they are refused at once while what can be served is served. It must never offer less than
// it says, nor leave out of a run the time in which the proxies find out.
//
//	app-1.service … app-10.service ─► bellhop local, a fifth of a core ──overflow──► bellhop remote ─► one server
//	        └─ those that the address file asks to move ─────────────────────────────────▲
//
// Exit code 1: a target was missed, or a row did not come to its end.
package main

import "github.com/bellhop-mesh/bellhop/scripts/prove/governed"

func main() {
	governed.Main("prove-overload", []governed.Row{
		{Name: "overflow", Play: overflow},
		{Name: "both", Play: both},
		{Name: "storm", Play: storm},
	})
}
