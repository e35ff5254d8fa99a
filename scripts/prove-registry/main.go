// Command prove-registry is to show that a proxy loses no call while its ZooKeeper ensemble fails. It has its parts so far:
// servers that finish what they have read, callers at a fixed rate, and the operator's session. No event is written yet, so
// it ends with exit code 2 and proves nothing.
//
//	calls at a fixed rate ─► client ─► bellhop local ─► peers, each in a process of its own
//	                                        ▲
//	                 tree ─► ensemble ─► relays
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "peer" {
		if err := runPeer(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, "prove-registry peer:", err)
			os.Exit(1)
		}
		return
	}
	fmt.Fprintln(os.Stderr, "prove-registry: no event is written yet: nothing was proved")
	os.Exit(2)
}
