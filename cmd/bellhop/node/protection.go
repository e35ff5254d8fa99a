package node

import (
	"math"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/config"
	"github.com/bellhop-mesh/bellhop/daemonset"
	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/proxy/pressure"
)

// maxAsked bounds the sources that are asked to use the remote tier at once: the address file has no room for many more.
const maxAsked = 256

// moveSettle is between two decisions about who is asked: the address file is written so often at most, and what a move
// brought must have been measured.
const moveSettle = 2 * time.Second

// moveGrow is the same while the pressure stays at its end.
const moveGrow = 400 * time.Millisecond

// protection is how this proxy protects itself.
func (n *node) protection() (proxy.Protection, error) {
	c := &n.Config.Protection
	out := proxy.Protection{CPUs: cpus, Memory: daemonset.MemoryShare(), Files: daemonset.FileLimit(), Reserve: c.Reserve, Own: selftestService}
	var throttle daemonset.Throttle
	out.Throttled = func() float64 { return throttle.Share(time.Now()) }
	profile := c.Profile
	if profile == pressure.Auto {
		profile = pressure.Class(cpus(), memoryLimit())
	}
	var err error
	if out.Pressure, err = pressure.Profile(profile); err != nil {
		return out, err
	}
	if out.Pressure.On() {
		tune(&out.Pressure, c)
	}
	if n.Role == config.Local {
		out.Moves = pressure.MoveConfig{TTL: c.MoveTTL, Settle: moveSettle, Grow: moveGrow, Most: maxAsked}
		out.Move = func(ttl map[string]time.Duration) { n.beacon.SetMove(ttl) }
	}
	n.Log.Debug("self-protection", "profile", profile, "cpus", cpus(), "memory_limit", memoryLimit())
	return out, nil
}

// tune puts what the configuration says over a profile: where a signal begins to count; its range keeps its width where it can.
func tune(p *pressure.Config, c *config.Protection) {
	from := func(r *pressure.Range, low float64) {
		if low > 0 {
			r.High = min(low+r.High-r.Low, max(1, low))
			r.Low = low
		}
	}
	from(&p.Signals[pressure.CPU], c.CPU)
	from(&p.Signals[pressure.Memory], c.Memory)
	if c.Delay > 0 {
		p.Signals[pressure.Delay] = pressure.Range{Low: c.Delay.Seconds(), High: 4 * c.Delay.Seconds()}
	}
}

// cpus is how much CPU time the process may use, in CPUs.
func cpus() float64 {
	n := float64(min(runtime.GOMAXPROCS(0), runtime.NumCPU()))
	if quota, ok := daemonset.CPULimit("", ""); ok {
		return min(quota, n)
	}
	return n
}

// memoryLimit is in bytes; 0: there is none.
func memoryLimit() int64 {
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		return limit
	}
	return 0
}

// obeyHostRules does what the rules newly say of this host; what a person has said since stands until they change. Under
// n.table.
func (n *node) obeyHostRules() {
	want := false
	if n.rules != nil && n.Role == config.Local {
		want = n.rules.Rules().Drains(n.Config.Host, hostLabels(n.Config.Labels))
	}
	if want != n.drained {
		n.drained = want
		n.proxy.DrainByRule(want)
	}
}

// hostLabels are the labels of this host as they were written: KEY=VALUE each.
func hostLabels(list []string) map[string]string {
	out := make(map[string]string, len(list))
	for _, l := range list {
		k, v, _ := strings.Cut(l, "=")
		out[k] = v
	}
	return out
}
