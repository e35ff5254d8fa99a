// Command prove-registry shows what a proxy's callers feel while its ZooKeeper ensemble fails, and forgets, and changes:
// nothing. The ensemble, the servers and the proxy are real. It must never stop calling around an event, nor forgive a call.
//
//	calls at a fixed rate ─► client ─► bellhop local ─► peers, in processes of their own
//	                                        ▲
//	                 tree ─► ensemble ─► relays
//
// Every event has a stage of its own. Exit code 1: a target was missed, or an event did not come to its end.
package main

import (
	"context"
	"flag"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/callers"
	"github.com/bellhop-mesh/bellhop/scripts/zkensemble"
)

func main() {
	outage := flag.Duration("outage", time.Minute, "how long the ensemble is down, or silent")
	event := func(name string, happens func(context.Context, *stage, *prove.Table) error) callers.Event {
		return callers.Event{Name: name, Happens: func(ctx context.Context, dir string, t *prove.Table) error {
			s, err := newStage(dir, *outage)
			if err != nil {
				return err
			}
			defer s.stop()
			return happens(ctx, s, t)
		}}
	}
	callers.Main("prove-registry", []callers.Event{
		event("leader", leaderDies),
		event("servers", oneByOne),
		event("outage", allDown),
		event("silence", silent),
		event("restart", restart),
		event("cut", cut),
		event("hole", hole),
		event("watches", losses),
		event("rules", badPush),
		event("vanish", vanish),
		event("address", address),
		event("scale", scale),
	}, zkensemble.Missing)
}
