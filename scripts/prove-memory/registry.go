package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// The registry of the large cases, and how long an idle proxy is watched.
const (
	services    = 2_000
	perService  = 10
	watched     = 20 * time.Second
	ticksSecond = 100 // USER_HZ, which Linux gives programs on every architecture that Go runs on
)

// largeRegistry measures an idle proxy that knows many endpoints.
func largeRegistry(ctx context.Context, p *proof, dir string) error {
	b := &prove.Bellhop{Dir: filepath.Join(dir, "registry"), Config: "listeners:\n  - {net: unix, addr: call.sock}\n", Services: manyServices()}
	defer func() { b.Process.Stop(100 * time.Millisecond) }()
	if err := b.Start(ctx); err != nil {
		return err
	}
	m, err := afterSettling(ctx, b)
	if err != nil {
		return err
	}
	metrics, err := prove.Scrape(ctx, b.Admin)
	if err != nil {
		return err
	}
	if n := metrics["bellhop_registry_endpoints"]; n < services*perService {
		return fmt.Errorf("the proxy knows %v endpoints", n)
	}
	if err := p.judge("anon", float64(m.Anon)); err != nil {
		return err
	}
	before, err := cpu(b.Process.PID())
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(watched):
	}
	after, err := cpu(b.Process.PID())
	if err != nil {
		return err
	}
	return p.judge("idle-cpu", (after-before).Seconds()/watched.Seconds())
}

// manyServices is the YAML of services whose endpoints nobody calls: ports of loopback addresses.
func manyServices() string {
	var b strings.Builder
	b.WriteString("services:\n")
	for s := range services {
		_, _ = fmt.Fprintf(&b, "  prove.Service%d: {framing: framed-binary, endpoints: [", s)
		for e := range perService {
			n := s*perService + e
			_, _ = fmt.Fprintf(&b, "\"127.%d.%d.%d:9090\", ", 1+n>>16, n>>8&0xFF, 1+n%250)
		}
		b.WriteString("]}\n")
	}
	return b.String()
}

// cpu is the CPU time of a process, from /proc/PID/stat: fields 14 and 15 (proc(5)).
func cpu(pid int) (time.Duration, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name may hold spaces
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(f))
	}
	ticks := 0
	for _, word := range f[11:13] {
		n, err := strconv.Atoi(word)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksSecond, nil
}
