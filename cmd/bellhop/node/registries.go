package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/admin"
	"github.com/bellhop-mesh/bellhop/cmd/bellhop/config"
	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/registry/file"
	"github.com/bellhop-mesh/bellhop/registry/zookeeper"
)

// ensemble is a ZooKeeper ensemble that is in use.
type ensemble struct {
	cfg       *config.ZooKeeper
	client    *zookeeper.Client
	source    *zookeeper.Source
	registrar *zookeeper.Registrar // nil: nothing is registered here
}

// openRegistry connects to the registries and loads what was known at the last run.
func (n *node) openRegistry(context.Context) error {
	c := &n.Config.Registry
	if c.Path == filepath.Join(n.dir.Private(), "services.d") { // the default of last resort
		if err := os.MkdirAll(c.Path, 0o755); err != nil {
			return fmt.Errorf("registry: %w", err)
		}
	}
	n.source = file.New(c.Path, n.Log, file.WithPoll(c.Poll), file.WithFraming(CheckFraming), file.WithValidate(CheckService))
	n.lookups = &lookups{told: map[string]int{}}
	sources := map[string]registry.Source{config.FileRegistry: n.source}
	for i := range c.ZooKeeper {
		e, err := n.openEnsemble(&c.ZooKeeper[i])
		if err != nil {
			return &ConfigError{fmt.Errorf("registry.zookeeper[%d]: %w", i, err)}
		}
		n.ensembles = append(n.ensembles, e)
		n.lookups.sources = append(n.lookups.sources, e.source)
		sources[e.cfg.Name] = e.source
	}
	if err := n.openKubernetes(); err != nil {
		return &ConfigError{fmt.Errorf("registry.kubernetes: %w", err)}
	}
	if n.cluster.source != nil {
		sources[config.KubernetesRegistry] = n.cluster.source
	}
	for _, name := range n.Config.RegistryOrder() {
		n.sources = append(n.sources, sources[name])
	}
	n.manager = registry.NewManager(n.managerConfig(), n.sources...)
	if err := n.manager.LoadLastKnownGood(); err != nil {
		n.Log.Error("last-known-good not used; starting without", "error", err)
	}
	for name := range n.manager.Snapshot().Services {
		for _, e := range n.ensembles {
			e.source.Remember(name)
		}
	}
	return nil
}

func (n *node) managerConfig() registry.ManagerConfig {
	c := &n.Config.Registry
	mc := registry.ManagerConfig{
		CoalesceWindow: c.Coalesce, MaxRemovalShare: c.MassShare, MinRemoval: c.MassMin, HoldRemoved: c.HoldRemoved,
		MaxEndpoints: c.MaxEndpoints, MaxServices: c.MaxServices, LastKnownGood: c.LastKnownGood, Log: n.Log,
		Probe: probe, ProbeRemote: probeRemote, LastSuccess: n.lastSuccess,
	}
	if mc.HoldRemoved == 0 {
		mc.HoldRemoved = -1 // not at all
	}
	if mc.LastKnownGood == config.Off {
		mc.LastKnownGood = ""
	}
	return mc
}

// probe connects to an endpoint that its registry does not name any more.
func probe(ctx context.Context, _ *registry.Service, e registry.Endpoint) error {
	if path, ok := strings.CutPrefix(e.Addr, "unix:"); ok {
		return accepts(ctx, "unix", path)
	}
	return accepts(ctx, "tcp", e.Addr)
}

func probeRemote(ctx context.Context, r registry.Remote) error { return accepts(ctx, "tcp", r.Addr) }

// accepts connects and closes.
func accepts(ctx context.Context, network, addr string) error {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// lastSuccess is what the data plane has seen of an endpoint. The manager asks only once it runs, which is after the
// data plane was made.
func (n *node) lastSuccess(service, addr string) time.Time { return n.proxy.LastSuccess(service, addr) }

func (n *node) openEnsemble(z *config.ZooKeeper) (*ensemble, error) {
	client, err := n.newClient(z)
	if err != nil {
		return nil, err
	}
	services := slices.Clone(z.Services)
	for i := range n.Config.Listeners { // such a listener's callers name no other
		if name := n.Config.Listeners[i].Service; name != "" && !slices.Contains(services, name) {
			services = append(services, name)
		}
	}
	source := zookeeper.New(client, zookeeper.Options{
		Name: z.Name, Layout: zookeeper.Layout(z.Layout), Path: z.Path, Remotes: z.Remotes, Endpoint: z.Endpoint, Framing: z.Framing,
		Services: services, UsedFile: n.Config.UsedFile(z), MaxServices: z.MaxServices, MaxPending: z.MaxPending,
		MaxUnknown: z.MaxUnknown, Unknown: z.Unknown, Audit: z.Audit, Forget: z.Forget, CheckFraming: CheckFraming, Log: n.Log,
	}, n.lookups.absent)
	e := &ensemble{cfg: z, client: client, source: source}
	if n.registers(z) {
		e.registrar = zookeeper.NewRegistrar(client, zookeeper.RegistrarOptions{Audit: z.Audit, CheckFraming: CheckFraming, Log: n.Log})
		n.spawn(func(ctx context.Context) { _ = e.registrar.Run(ctx) }) // returns nil
	}
	return e, nil
}

// newClient begins a session with an ensemble. It lives until the node is closed.
func (n *node) newClient(z *config.ZooKeeper) (*zookeeper.Client, error) {
	cc := zookeeper.ClientConfig{
		Servers: z.Servers, Session: z.Session, ACL: z.ACL, MaxReply: int(z.MaxReply), Reconnect: z.Reconnect, Log: n.Log.With("registry", z.Name),
	}
	var err error
	if cc.Digest, err = readDigest(z.DigestFile); err != nil {
		return nil, fmt.Errorf("digest_file: %w", err)
	}
	if z.TLS.Set() {
		if cc.TLS, err = clientTLS(z.TLS); err != nil {
			return nil, err
		}
	}
	client, err := zookeeper.NewClient(cc)
	if err != nil {
		return nil, err
	}
	if n.Role == config.Local && n.registers(z) {
		n.onClose(client.Abandon) // what it registered for others lives on until the next process takes it over
	} else {
		n.onClose(client.Close)
	}
	return client, nil
}

// maxDigest bounds user:password, in bytes.
const maxDigest = 1024

// readDigest reads the file of a digest; without a path there is none.
func readDigest(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := readSecret(path, maxDigest)
	if err != nil {
		return "", err
	}
	user, password, ok := bytes.Cut(b, []byte(":"))
	if len(b) > maxDigest || !ok || len(user) == 0 || len(password) == 0 {
		return "", fmt.Errorf("%s holds %d bytes that are no user:password of at most %d", path, len(b), maxDigest)
	}
	return string(b), nil
}

// awaitRegistry waits until every registry spoke, or was found to be unusable, or the time is up: what was known at the
// last run is better than no proxy.
func (n *node) awaitRegistry(ctx context.Context) error {
	wait := n.Config.Registry.Wait
	if len(n.manager.Snapshot().Services) > 0 && len(n.sources) > 1 { // more than files
		wait = min(wait, knownWait)
	}
	n.waited = time.Now().Add(wait)
	deadline := time.After(wait)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for late := false; n.manager.Stats().Sources < len(n.sources) || n.cluster.late(); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		case <-deadline:
			late = true
		}
		if problem := n.registryProblem(); late || problem != nil {
			n.Log.Warn("not every registry has answered; starting with what is known", "problem", problem, "waited", time.Since(n.born).Round(time.Millisecond),
				"services", len(n.manager.Snapshot().Services))
			return nil
		}
	}
	return nil
}

// knownWait is how long the start waits for registries over the network when there is something to begin with: an
// ensemble that is down must not keep a host's callers waiting.
const knownWait = 500 * time.Millisecond

// registryProblem says why waiting for the registries is of no use: all that have not spoken yet can't be read.
func (n *node) registryProblem() error {
	var errs []error
	spoke := n.manager.Stats().Sources
	if st := n.source.Stats(); st.Errors > 0 {
		errs = append(errs, errors.New(st.LastError))
	}
	for _, e := range n.ensembles {
		if why := e.client.Problem(); why != "" {
			errs = append(errs, fmt.Errorf("%s: %s", e.cfg.Name, why))
		}
	}
	if err := n.cluster.problem(); err != nil {
		errs = append(errs, err)
	}
	if len(errs) == 0 || spoke+len(errs) < len(n.sources) {
		return nil
	}
	return errors.Join(errs...)
}

// lookups asks every ensemble for a service that the table does not know, and knows when the last of them has found that
// it is not there.
type lookups struct {
	sources  []*zookeeper.Source
	notFound func(service string) // set before the sources run

	mu   sync.Mutex
	told map[string]int // ensembles that are still looking
}

// hook is what the data plane asks; nil: there is nobody to ask.
func (l *lookups) hook() func(string) bool {
	if len(l.sources) == 0 {
		return nil
	}
	return l.want
}

// want asks for a service. It is called on an event loop: it must not block, and asking does not.
func (l *lookups) want(service string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	looking := 0
	for _, s := range l.sources {
		if s.Want(service) {
			looking++
		}
	}
	if looking > 0 {
		l.told[service] = looking
	}
	return looking > 0
}

// absent is told by an ensemble that a service is not there.
func (l *lookups) absent(service string) {
	l.mu.Lock()
	l.told[service]--
	none := l.told[service] <= 0
	if none {
		delete(l.told, service)
	}
	l.mu.Unlock()
	if none && l.notFound != nil {
		l.notFound(service)
	}
}

// forget drops the names that were found.
func (l *lookups) forget(s *registry.Snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name := range l.told {
		if s.Services[name] != nil {
			delete(l.told, name)
		}
	}
}

// usedEvery is how often the ensembles are told which services are in use: forgetting one takes a minute at least.
const usedEvery = 20 * time.Second

// tellUsed keeps the services that are called from being forgotten, until ctx ends.
func (n *node) tellUsed(ctx context.Context) {
	tick := time.NewTicker(usedEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		within, cancel := context.WithTimeout(ctx, usedEvery/2)
		names, err := n.proxy.Used(within)
		cancel()
		if err != nil {
			n.Log.Debug("not every worker told which services are in use", "error", err)
		}
		names = slices.DeleteFunc(names, func(name string) bool { return name == selftestService })
		for _, e := range n.ensembles {
			e.source.Used(names...)
		}
	}
}

// describeRegistries names them for people, the one whose word counts most first.
func (n *node) describeRegistries() string {
	names := n.Config.RegistryOrder()
	for i, name := range names {
		if name == config.FileRegistry {
			names[i] = n.Config.Registry.Path
		} else if e := n.ensemble(name); e != nil {
			names[i] = name + " (" + e.cfg.Servers + ")"
		}
	}
	return strings.Join(names, ", ")
}

// ensembleStatus is what the admin side tells of the ensembles.
func (n *node) ensembleStatus() []admin.Ensemble {
	out := make([]admin.Ensemble, 0, len(n.ensembles))
	for _, e := range n.ensembles {
		out = append(out, admin.Ensemble{Name: e.cfg.Name, Servers: e.cfg.Servers, Stats: e.source.Stats})
		if e.registrar != nil {
			out[len(out)-1].Registrar = e.registrar.Stats
		}
	}
	return out
}
