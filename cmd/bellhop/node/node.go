package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/admin"
	"github.com/bellhop-mesh/bellhop/cmd/bellhop/config"
	"github.com/bellhop-mesh/bellhop/daemonset"
	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
	"github.com/bellhop-mesh/bellhop/daemonset/identity"
	"github.com/bellhop-mesh/bellhop/daemonset/rundir"
	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/protocol/osp"
	"github.com/bellhop-mesh/bellhop/protocol/thrift"
	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/proxy/route"
	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/registry/file"
)

// Options are what a node is started with.
type Options struct {
	Role    config.Role
	Config  *config.Config // resolved
	Version string
	Log     *slog.Logger
}

// ConfigError says that the configuration names something that can't be had: exit code 2.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// Run runs a proxy until ctx ends, and then drains it. nil: it drained within its time.
func Run(ctx context.Context, o Options) error {
	n := &node{Options: o, born: time.Now()}
	defer n.closeAll()
	if err := n.start(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = nil // told to end while starting
		}
		if n.beacon != nil && n.beacon.State() == addrfile.Serving { // guests were told to come
			err = errors.Join(err, n.drain())
		}
		return err
	}
	<-ctx.Done()
	return n.drain()
}

// node is a running process. Its fields are set by start, in the order of start.
type node struct {
	Options
	born     time.Time
	instance string
	dir      *rundir.Dir
	writer   *addrfile.Writer
	source   *file.Source
	manager  *registry.Manager
	waited   time.Time  // until when the start waits for registry and rules
	rules    *ruleBook  // nil: no place of rules is configured
	table    sync.Mutex // held while a table is compiled and swapped: registry and rules change on goroutines of their own
	proxy    *proxy.Proxy
	routes   route.Options
	ids      *identity.Identifier
	places   []place
	self     selftest
	ready    *daemonset.Readiness
	beacon   *daemonset.Beacon

	ensembles []*ensemble
	cluster   kubernetesCluster
	sources   []registry.Source // all of them, the one whose word counts most first
	lookups   *lookups

	drained bool // the rules want this host drained to the remote tier; under table

	leave func() // deregisters a remote proxy; nil: not registered

	closers []func() // run last first
}

// onClose has f run at the end, before what was opened earlier is closed.
func (n *node) onClose(f func()) { n.closers = append(n.closers, f) }

func (n *node) closeAll() {
	for i := len(n.closers) - 1; i >= 0; i-- {
		n.closers[i]()
	}
	n.closers = nil
}

// spawn runs f in the background until the node is closed.
func (n *node) spawn(f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	n.onClose(func() {
		cancel()
		<-done
	})
}

func (n *node) start(ctx context.Context) error {
	n.limitMemory()
	for _, step := range []func(context.Context) error{
		n.openRunDir, n.openRegistry, n.openRules, n.startProxy, n.startRules, n.awaitRegistry, n.awaitRules, n.listen, n.startAdmin, n.proveItself, n.publish, n.join, n.keepRegistrations,
	} {
		if err := step(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	debug.FreeOSMemory() // the start needed more than the running will
	n.Log.Info("serving", "role", n.Role, "instance", n.instance, "run_dir", n.dir.Path(), "registry", n.describeRegistries(),
		"listeners", describe(n.places), "admin", n.Config.Admin.Listen, "took", time.Since(n.born).Round(time.Millisecond))
	return nil
}

// limitMemory keeps the garbage collector below the limit of the cgroup, unless GOMEMLIMIT says something already.
func (n *node) limitMemory() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if limit, ok := daemonset.MemoryLimit("", ""); ok {
		debug.SetMemoryLimit(limit / 10 * 9) // the rest is for stacks of the kernel and for what is not Go's
		n.Log.Debug("memory limit of the cgroup", "bytes", limit)
	}
}

func (n *node) openRunDir(context.Context) error {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	n.instance = hex.EncodeToString(id[:])
	dir, err := rundir.Open(n.Config.RunDir)
	if err != nil {
		return err
	}
	n.dir = dir
	n.onClose(func() { _ = dir.Close() })
	if err := dir.Lock(n.instance); err != nil {
		return err
	}
	n.writer, err = addrfile.OpenWriter(dir.Pub(), addrfile.WriterOptions{Instance: n.instance, Lease: n.Config.AddressFile.Lease})
	if err != nil {
		return err
	}
	n.onClose(func() { _ = n.writer.Close() })
	return nil
}

// startProxy runs the data plane with the table that is known, and lets the registry replace it from now on.
func (n *node) startProxy(context.Context) error {
	handOff, err := n.handOff()
	if err != nil {
		return &ConfigError{err}
	}
	accept, err := n.accept()
	if err != nil {
		return &ConfigError{err}
	}
	n.routes = n.routeOptions()
	table, err := n.compile(n.manager.Snapshot(), nil)
	if err != nil {
		n.Log.Error("some services are not routed", "error", err)
	}
	protect, err := n.protection()
	if err != nil {
		return &ConfigError{err}
	}
	n.ids = n.newIdentifier()
	n.proxy, err = proxy.New(proxy.Config{
		Workers: n.routes.Workers, Codecs: append(thrift.Codecs(), osp.Codecs()...), Limits: limits(n.Config), Timeouts: timeouts(n.Config), Quarantine: quarantine(n.Config),
		Identify: newIdentify(n.ids, n.cluster.describe(), n.Log), HandOff: handOff, Accept: accept, Log: n.Log,
		Lookup:     n.lookups.hook(),
		Protection: protect,
		Access:     proxy.AccessLog{Sample: n.Config.AccessLog.Sample, Slow: n.Config.AccessLog.Slow, Queue: n.Config.AccessLog.Queue},
	}, table)
	if err != nil {
		return &ConfigError{err}
	}
	n.proxy.SetRules(n.callRules())
	n.beacon = daemonset.NewBeacon(n.writer, n.proxy.Tick, n.Log)
	if err := n.proxy.Start(); err != nil {
		return err
	}
	n.onClose(n.proxy.Stop)
	n.lookups.notFound = n.proxy.NotFound
	n.manager.OnChange(n.tableChanged())
	n.spawn(func(ctx context.Context) { _ = n.manager.Run(ctx) }) // returns nil
	if len(n.ensembles) > 0 {
		n.spawn(n.tellUsed)
	}
	return nil
}

func (n *node) startAdmin(context.Context) error {
	n.ready = daemonset.NewReadiness(n.self.call)
	if n.Config.Admin.Listen == config.Off {
		return nil
	}
	l, err := daemonset.ListenAdmin(n.Config.Admin.Listen)
	if err != nil {
		return err
	}
	src := admin.Sources{
		Proxy: n.proxy, Manager: n.manager, File: n.source, Ready: n.ready, Log: n.Log,
		MaxSources: n.Config.Limits.MaxSources, Config: n.Config.Map(n.Role), Bounds: bounds(n.Config),
		Process: admin.Process{
			Role: string(n.Role), Version: n.Version, Instance: n.instance, PID: os.Getpid(), Started: n.born,
			RunDir: n.dir.Path(), Registry: n.describeRegistries(), Host: n.Config.Host, Zone: n.Config.Zone,
		},
		Ensembles: n.ensembleStatus(), Kubernetes: n.cluster.status(), Listeners: listenerStatus(n.places), State: func() string { return string(n.beacon.State()) },
	}
	if n.rules != nil {
		src.Rules = n.rules
	}
	s := admin.New(src)
	go s.Serve(l)
	n.onClose(s.Close)
	return nil
}

// proveItself has one call answered through the data path: only then are guests told to come.
func (n *node) proveItself(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := n.self.call(ctx); err != nil {
		return fmt.Errorf("the first call through the data path failed: %w", err)
	}
	n.ready.Started()
	return nil
}

func (n *node) publish(context.Context) error {
	if err := n.beacon.Serving(guestAddrs(n.places, n.dir.Pub()), remoteAddrs(n.proxy.Table())); err != nil {
		return err
	}
	n.spawn(n.beacon.Run)
	return nil
}

// drain is the graceful end: guests are told first, their calls are waited for, and the file says down at the end.
func (n *node) drain() error {
	started := time.Now()
	n.ready.Closing()
	if n.leave != nil {
		n.leave() // local proxies stop choosing this one
	}
	ctx, cancel := context.WithTimeout(context.Background(), n.Config.Drain.Timeout)
	defer cancel()
	said := n.beacon.Draining()
	n.Log.Info("draining", "grace", n.Config.Drain.Grace, "timeout", n.Config.Drain.Timeout)
	err := n.proxy.Drain(ctx, n.Config.Drain.Grace)
	err = errors.Join(said, err, n.beacon.Down())
	n.Log.Info("down", "took", time.Since(started).Round(time.Millisecond))
	return err
}

// CheckFraming judges the framing words of a registry.
func CheckFraming(word string) error {
	_, err := protocol.ParseWire(word)
	return err
}
