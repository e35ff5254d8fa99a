package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/governed"
)

const (
	sources = 10
	size    = 128
	settle  = 10 * time.Second // in which the proxies find out; what fails in it is told, too
	calm    = 2 * time.Second  // the same where there is nothing to find out
	framing = "framed-binary"
)

// tier is a server with a local and a remote proxy before it.
type tier struct {
	*governed.Stage
	local, remote *prove.Bellhop
	remoteAddr    string
}

// raise starts both proxies anew. The remote one has remoteShare of a core; 0: there is none.
func raise(ctx context.Context, s *governed.Stage, server *governed.Server, remoteShare float64) (*tier, error) {
	t := &tier{Stage: s}
	token := filepath.Join(s.Dir, "token")
	if err := os.WriteFile(token, []byte("a token of the proof's own"), 0o600); err != nil {
		return t, err
	}
	services := fmt.Sprintf("services:\n  bench: {framing: %s, max_connections: 1000, endpoints: [%q]}\n", framing, server.Addr)
	local := &prove.Bellhop{Services: services, Config: "workers: 1\nlog: {level: info}\nlisteners:\n  - {net: unix, addr: call.sock}\n"}
	if remoteShare > 0 {
		var err error
		if t.remoteAddr, err = prove.FreePort(); err != nil {
			return t, err
		}
		t.remote, err = s.Start(ctx, "remote", &prove.Bellhop{
			Role: "remote", Services: services,
			Config: fmt.Sprintf("workers: 1\nlisteners:\n  - {net: tcp, addr: %q}\nremote: {register: off, token_file: %q, grant: {calls: %d}}\nlimits: {source_calls: 8192}\n", t.remoteAddr, token, grantCalls),
		}, remoteShare)
		if err != nil {
			return t, err
		}
		local.Services += fmt.Sprintf("remotes:\n  - {addr: %q}\n", t.remoteAddr)
		local.Config += fmt.Sprintf("handoff: {token_file: %q}\n", token)
	}
	var err error
	if t.local, err = s.Start(ctx, "local", local, s.Share); err != nil || t.remote == nil {
		return t, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return t, t.local.Process.Await(ctx, func() error {
		f, err := t.local.Address()
		if err == nil && len(f.Remote) == 0 {
			err = fmt.Errorf("the address file names no remote proxy")
		}
		return err
	})
}

func (t *tier) fall() {
	for _, b := range []*prove.Bellhop{t.local, t.remote} {
		if b != nil && b.Process != nil {
			t.Stop(b.Process)
		}
	}
}

func unit(i int) string { return fmt.Sprintf("app-%d.service", i+1) }

// callers are ten sources that find the proxy by its address file.
func (t *tier) callers(total float64) (all []governed.Source) {
	for i := range sources {
		all = append(all, governed.Source{Unit: unit(i), Rate: total / sources, Args: []string{
			"--address-file", t.local.AddressFile(), "--source", unit(i), "--service", "bench", "--framing", framing,
			"--connections", "16", "--depth", "32", "--size", strconv.Itoa(size), "--grain", "1ms",
		}})
	}
	return all
}

// carries is how many calls a second the local proxy carries alone: ten sources with four calls in flight each.
func carries(ctx context.Context, s *governed.Stage, server *governed.Server) (float64, error) {
	t, err := raise(ctx, s, server, 0)
	defer t.fall()
	if err != nil {
		return 0, err
	}
	var all []governed.Source
	for i := range sources {
		all = append(all, governed.Source{Unit: unit(i), Args: []string{
			"--target", "unix:" + filepath.Join(filepath.Dir(t.local.AddressFile()), "call.sock"), "--service", "bench", "--framing", framing,
			"--connections", "4", "--size", strconv.Itoa(size),
		}})
	}
	run, err := s.Valid(ctx, "what the local proxy carries", 0, func(ctx context.Context) (*governed.Run, error) {
		return s.Load(ctx, governed.Measure{Warmup: 500 * time.Millisecond, Duration: 1500 * time.Millisecond}, all)
	})
	if err != nil {
		return 0, err
	}
	run.Figures["calls/s"] = goodput(run.Sources)
	return run.Figures["calls/s"], nil
}

// goodput is calls that ended well, a second.
func goodput(list []governed.Result) (sum float64) {
	for _, x := range list {
		sum += float64(x.Calls) / x.Seconds
	}
	return sum
}

// failures adds up what failed, in the measured time and in the warm-up.
func failures(list []governed.Result) (measured, early float64) {
	for i := range list {
		measured += float64(list[i].Fails())
		for _, n := range list[i].Early {
			early += float64(n)
		}
	}
	return measured, early
}

// watcher looks at a proxy from time to time, and keeps the greatest value of some metrics.
type watcher struct {
	most map[string]float64
	all  sync.WaitGroup
	stop context.CancelFunc
}

func watch(ctx context.Context, b *prove.Bellhop, metrics ...string) *watcher {
	w := &watcher{most: map[string]float64{}}
	ctx, w.stop = context.WithCancel(ctx)
	w.all.Go(func() {
		for ctx.Err() == nil {
			if m, err := prove.Scrape(ctx, b.Admin); err == nil {
				for _, name := range metrics {
					w.most[name] = max(w.most[name], m.Sum(name))
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	return w
}

// end returns the greatest values.
func (w *watcher) end() map[string]float64 {
	w.stop()
	w.all.Wait()
	return w.most
}
