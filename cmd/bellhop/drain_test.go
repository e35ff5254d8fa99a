package main

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
)

// drained is a local proxy with a service of its own that its remote proxy serves as well, under load.
type drained struct {
	*host
	local  *program
	f      *addrfile.File
	calls  atomic.Int64
	failed atomic.Value
	stop   chan struct{}
	wg     sync.WaitGroup
}

func newDrained(t *testing.T, more string) *drained {
	d := &drained{host: newHost(t), stop: make(chan struct{})}
	token := d.write("token", "0123456789abcdef\n")
	server := echoServer(t, nil)
	startRemote(t, d.host, "token_file: "+token)
	d.write("far.d/demo.yaml", "services:\n  demo.Far: {framing: osp, endpoints: ["+server+"]}\n")
	d.write("services.d/demo.yaml", "services:\n  demo.Far: {framing: osp, endpoints: ["+server+"]}\n")
	d.local = begin(t, "local", "-c", d.quick("local", "handoff: {token_file: "+token+"}\n"+strings.ReplaceAll(more, "RULES", d.path("rules.yaml"))))
	d.f = d.await("local", hasRemote)
	for range 4 {
		c := d.caller("local", d.f)
		d.wg.Go(func() {
			for {
				select {
				case <-d.stop:
					return
				default:
				}
				if _, err := c.Call("demo.Far", "say", argument, 10*time.Second); err != nil {
					d.failed.Store(err.Error())
					return
				}
				d.calls.Add(1)
			}
		})
	}
	t.Cleanup(d.end)
	return d
}

// end stops the load; every call must have been answered well.
func (d *drained) end() {
	select {
	case <-d.stop:
		return
	default:
	}
	close(d.stop)
	d.wg.Wait()
	if err := d.failed.Load(); err != nil {
		d.t.Errorf("a call failed: %v", err)
	}
}

// more waits until some more calls have ended.
func (d *drained) more() {
	d.t.Helper()
	from := d.calls.Load()
	eventually(d.t, "calls go on", func() bool { return d.failed.Load() != nil || d.calls.Load() > from+200 })
}

func (d *drained) handedOver() (n int) {
	_, metrics := d.get("local", "/metrics")
	for line := range strings.Lines(metrics) {
		if _, err := fmt.Sscanf(line, `bellhop_protection_measures_total{measure="drained"} %d`, &n); err == nil {
			return n
		}
	}
	return 0
}

// TestDrainToRemote: under load a host is drained to the remote tier and back, by hand, and no call is lost; sources are asked to
// move and let go.
func TestDrainToRemote(t *testing.T) {
	d := newDrained(t, "")
	d.more()
	if n := d.handedOver(); n != 0 {
		t.Fatalf("%d calls were handed over before", n)
	}
	code, out, errs := once(t, "drain", "--to-remote", "10m", "--run-dir", d.path("local"))
	if code != exitOK || !strings.Contains(out, "drained to the remote tier for 10m0s more") {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	eventually(t, "calls are handed over", func() bool { return d.handedOver() > 500 })
	f := d.await("local", func(f *addrfile.File) bool { return len(f.Move) > 0 })
	if f.State != addrfile.Serving {
		t.Errorf("the state is %s", f.State)
	}
	_, text, _ := once(t, "status", "--run-dir", d.path("local"), "--window", "10ms")
	mustHave(t, text, "DRAINED TO THE REMOTE TIER for ", "asked to use the remote tier: "+f.Move[0].Key, "drained")
	if code, out, errs := once(t, "drain", "--cancel", "--run-dir", d.path("local")); code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	d.await("local", func(f *addrfile.File) bool { return len(f.Move) == 0 })
	d.more()
	n := d.handedOver()
	d.more()
	if again := d.handedOver(); again != n {
		t.Errorf("%d calls were handed over after the end", again-n)
	}
	d.end()
	if code := d.local.end(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// TestDrainEnds: it ends by itself.
func TestDrainEnds(t *testing.T) {
	d := newDrained(t, "")
	if code, out, errs := once(t, "drain", "--to-remote", "1s", "--run-dir", d.path("local")); code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	eventually(t, "it ends", func() bool {
		_, metrics := d.get("local", "/metrics")
		return d.handedOver() > 0 && strings.Contains(metrics, "bellhop_drain_to_remote_seconds 0\n")
	})
	d.more()
	d.end()
}

// TestDrainByRule: a rule for hosts with a label does the same for as long as it stands.
func TestDrainByRule(t *testing.T) {
	d := newDrained(t, "labels: [maintenance=yes]\nrules: {path: RULES}")
	d.more()
	d.write("rules.yaml", "version: 1\nhosts:\n  - {match: {labels: {maintenance: \"yes\"}}, drain: true}\n")
	eventually(t, "calls are handed over", func() bool { return d.handedOver() > 500 })
	_, text, _ := once(t, "status", "--run-dir", d.path("local"), "--window", "10ms")
	mustHave(t, text, "DRAINED TO THE REMOTE TIER by a rule")
	d.write("rules.yaml", "version: 1\n")
	eventually(t, "it ends", func() bool {
		_, metrics := d.get("local", "/metrics")
		return strings.Contains(metrics, "bellhop_drain_to_remote_seconds 0\n")
	})
	d.more()
	d.end()
}

// TestDrainRefused: what can't be done is told with the next step.
func TestDrainRefused(t *testing.T) {
	h := newHost(t)
	begin(t, "local", "-c", h.quick("local", ""))
	h.await("local", serving)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--to-remote", "10m"}, exitFailed, "no remote proxy is known"},
		{[]string{"--to-remote", "1000h"}, exitUsage, "write a duration up to 168h"},
		{[]string{"--to-remote", "0s"}, exitUsage, "write a duration up to 168h"},
		{nil, exitUsage, "write one of --to-remote 10m and --cancel"},
		{[]string{"--to-remote", "1m", "--cancel"}, exitUsage, "write one of"},
	} {
		code, _, errs := once(t, append([]string{"drain", "--run-dir", h.path("local")}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit code %d, %s", c.args, code, errs)
		}
	}
}
