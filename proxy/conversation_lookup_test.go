package proxy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The words for look-ups (testdata/README.md).

// look: "lookup true|false" is what Config.Lookup says from now on, "asked NAME…" what it was called with since the last
// "asked", "notfound NAME" tells that there is no such service, "draining [done]" has the worker close who is not missed
// and checks whether callers are left, "used NAME…" are the services in use since the last "used".
func (k *talk) look(word string, args []string) error {
	switch word {
	case "lookup":
		k.wants = args[0]
	case "asked":
		got := k.asked
		k.asked = nil
		if !slices.Equal(got, args) && len(got)+len(args) > 0 {
			return fmt.Errorf("was asked for %q", got)
		}
	case "notfound":
		k.p.NotFound(args[0])
		k.settle()
	case "used":
		got := k.w.stats.used()
		slices.Sort(got)
		if strings.Join(got, " ") != strings.Join(args, " ") {
			return fmt.Errorf("used are %q", got)
		}
	case "draining":
		k.p.draining.Store(true)
		k.pass(time.Duration(firstCall))
		k.w.do(k.w.closeIdle)
		k.settle()
		if left := k.p.conns.Load(); (left == 0) != (len(args) == 1) {
			return fmt.Errorf("%d callers are left", left)
		}
	}
	return nil
}
