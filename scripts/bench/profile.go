package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/bench/flame"
	"github.com/bellhop-mesh/bellhop/scripts/bench/targets"
	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

// What a call costs, by what the CPU was doing: `make bench-profile`. perf's stacks reach into the kernel, where four
// fifths of the time go.

const (
	profiled  = 4 * time.Second         // load on each path
	recorded  = 2500 * time.Millisecond // of it, by perf
	frequency = 4999                    // samples a second
)

const our = "github.com/bellhop-mesh/bellhop/"

// classes are in order: a stack belongs to the first that one of its functions fits.
var classes = []flame.Class{
	{Name: "threads of the Go runtime (futex, sleeps, scheduler)", Prefixes: []string{
		"__x64_sys_futex", "__x64_sys_nanosleep", "__x64_sys_sched_yield", "runtime.goschedImpl", "runtime.sysmon", "runtime.findRunnable", "runtime.gcBgMarkWorker",
	}},
	{Name: "waking the peer up", Prefixes: []string{"try_to_wake_up", "__wake_up", "ep_poll_callback", "sock_def_readable", "wake_up_q"}},
	{Name: "context switches and interrupts", Prefixes: []string{"schedule", "__schedule", "finish_task_switch", "exit_to_user_mode_loop", "asm_sysvec", "irqentry"}},
	{Name: "copies", Prefixes: []string{
		"_copy_to_iter", "_copy_from_iter", "skb_copy_datagram", "__check_object_size", "simple_copy_to_iter", "runtime.memmove", "__memmove", "__memcpy",
	}},
	{Name: "send: the rest of it", Prefixes: []string{"__x64_sys_sendto", "__sys_sendto", "ksys_write", "vfs_write", "__x64_sys_sendmsg"}},
	{Name: "read: the rest of it", Prefixes: []string{"ksys_read", "vfs_read", "__x64_sys_recvfrom", "__sys_recvfrom"}},
	{Name: "epoll_wait", Prefixes: []string{"__x64_sys_epoll"}},
	{Name: "into the kernel and out", Prefixes: []string{
		"do_syscall_64", "entry_SYSCALL", "syscall_", "internal/runtime/syscall", "syscall.", "golang.org/x/sys/unix.", "runtime.entersyscall", "runtime.exitsyscall",
		"runtime.reentersyscall", our + "proxy.send", "__send", "__libc_recv", "epoll_wait",
	}},
	{Name: "rewriting frames", Prefixes: []string{our + "protocol/thrift.plain.Append", our + "protocol/thrift.append", our + "protocol/thrift.closeFrame"}},
	{Name: "parsing: frame, header, walk of the body", Prefixes: []string{our + "protocol"}},
	{Name: "routing and balancing", Prefixes: []string{our + "proxy/route", our + "proxy/cluster", our + "proxy.(*pool)", our + "proxy.(*call).pick"}},
	{Name: "accounting: counters, clocks, timers, bounds", Prefixes: []string{
		our + "proxy.(*workerStats)", our + "proxy.(*Histogram)", our + "proxy.(*worker).record", our + "proxy.(*wheel)", our + "proxy.firstFrom",
		our + "proxy.(*worker).setAlarm", our + "proxy.(*retryBudget)", our + "proxy.(*downstream).account", our + "proxy.(*upstream).account",
		our + "proxy.(*accessLog)", our + "proxy.(*worker).charge", our + "proxy.(*call).setDeadline", "runtime.nanotime", "time.", "runtime.mapaccess",
	}},
	{Name: "calls, connections, batches", Prefixes: []string{our + "proxy."}},
	{Name: "gnet", Prefixes: []string{"github.com/panjf2000/gnet"}},
	{Name: "Go runtime, the rest", Prefixes: []string{"runtime."}},
}

// costs is one path's profile.
type costs struct {
	path   path
	us     float64 // CPU per call
	shares map[string]float64
}

// flames profiles the paths with many callers: a flame graph each, and the page's table.
func (r *rig) flames(ctx context.Context, dir string) error {
	perf, err := exec.LookPath("perf")
	if err != nil {
		return fmt.Errorf("perf is missing (Debian's linux-perf): %w", err)
	}
	var all []costs
	for _, p := range r.paths {
		if p.callers != many {
			continue
		}
		c, err := r.flame(ctx, perf, dir, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		all = append(all, c)
		fmt.Fprintf(os.Stderr, "bench-profile: %s: %.2f µs a call\n", p.name, c.us)
	}
	head := fmt.Sprintf("%s, %s; bellhop %s. %d callers, %d-byte echo, %v of samples at %d Hz (cpu-clock) on each path.\n",
		time.Now().UTC().Format("2006-01-02"), prove.Machine(), prove.Version(ctx, "bin/bellhop"), many, size, recorded, frequency)
	return targets.Rewrite(filepath.Join(dir, "profile.md"), "profile", head+costTable(all))
}

// flame loads one path, records its proxy meanwhile, and draws what was recorded.
func (r *rig) flame(ctx context.Context, perf, dir string, p path) (costs, error) {
	data := filepath.Join(r.dir, p.name+".perf")
	measured := make(chan *prove.Measured, 1)
	failed := make(chan error, 1)
	go func() {
		m, err := r.load(ctx, p, profiled)
		measured <- m
		failed <- err
	}()
	time.Sleep(4 * warmup)
	out, err := exec.CommandContext(ctx, perf, "record", "-o", data, "-F", strconv.Itoa(frequency), "-e", "cpu-clock", "-g", "-p", strconv.Itoa(p.pid),
		"--", "sleep", fmt.Sprint(recorded.Seconds())).CombinedOutput()
	m, loadErr := <-measured, <-failed
	if err != nil {
		err = fmt.Errorf("perf record: %w: %s", err, bytes.TrimSpace(out))
	}
	if err := errors.Join(err, loadErr); err != nil {
		return costs{}, err
	}
	cmd := exec.CommandContext(ctx, perf, "script", "-i", data, "-F", "comm,ip,sym,dso")
	stacks, err := cmd.Output()
	if err != nil {
		return costs{}, fmt.Errorf("perf script: %w", err)
	}
	profile, err := flame.Parse(bytes.NewReader(stacks))
	if err != nil || profile.Total < 1000 {
		return costs{}, errors.Join(err, fmt.Errorf("perf recorded %d samples", profile.Total))
	}
	c := costs{path: p, us: m.Processes[0].US, shares: map[string]float64{}}
	for _, s := range profile.Shares(classes) {
		c.shares[s.Class] = s.Of
	}
	title := fmt.Sprintf("%s: %.2f µs of CPU a call", p.name, c.us)
	return c, os.WriteFile(filepath.Join(dir, "profile-"+p.name+".svg"), []byte(profile.SVG(title)), 0o644)
}

// costTable has a row for each class and a column for each path: nanoseconds a call.
func costTable(all []costs) string {
	var b strings.Builder
	row := func(cells ...string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	head, rule, sum, links := []string{"ns a call"}, []string{"---"}, []string{"all"}, []string{"flame graph"}
	for _, c := range all {
		head, rule = append(head, c.path.name), append(rule, "---")
		sum = append(sum, fmt.Sprintf("%.0f", 1000*c.us))
		links = append(links, "[svg](profile-"+c.path.name+".svg)")
	}
	b.WriteString("\n")
	row(head...)
	row(rule...)
	for _, class := range append(classes, flame.Class{Name: "other"}) {
		cells := []string{class.Name}
		if class.Name == "other" {
			cells[0] = "other (HAProxy's own code, libraries)"
		}
		for _, c := range all {
			cells = append(cells, fmt.Sprintf("%.0f", 1000*c.us*c.shares[class.Name]))
		}
		row(cells...)
	}
	row(sum...)
	row(links...)
	return b.String()
}
