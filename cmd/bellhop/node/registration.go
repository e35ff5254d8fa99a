package node

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/call"
	"github.com/bellhop-mesh/bellhop/cmd/bellhop/config"
	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/registry/zookeeper"
)

// keeper registers one service of this host while it is healthy. The registration follows the service, never this
// process: when the proxy ends, the session is left to expire, and the next process takes the node over.
type keeper struct {
	cfg   *config.Registration
	what  zookeeper.Registration
	in    *zookeeper.Registrar
	check func(context.Context) error
	node  *node
}

// keepRegistrations begins to look after the services that this proxy registers.
func (n *node) keepRegistrations(context.Context) error {
	for i := range n.Config.Register {
		k, err := n.keeper(&n.Config.Register[i])
		if err != nil {
			return &ConfigError{fmt.Errorf("register[%d]: %w", i, err)}
		}
		n.spawn(k.run)
	}
	return nil
}

func (n *node) keeper(r *config.Registration) (*keeper, error) {
	e := n.ensemble(r.In)
	wire, err := protocol.ParseWire(cmp.Or(r.Framing, e.cfg.Framing, defaultFraming(e.cfg.Layout)))
	if err != nil {
		return nil, err
	}
	labels := map[string]string{}
	for _, l := range r.Labels {
		k, v, _ := strings.Cut(l, "=")
		labels[k] = v
	}
	k := &keeper{cfg: r, in: e.registrar, node: n, what: zookeeper.Registration{
		Layout: zookeeper.Layout(e.cfg.Layout), Path: e.cfg.Path, Service: r.Service, Mode: r.Mode, Additional: e.cfg.Endpoint,
		Endpoint: registry.Endpoint{
			Addr: r.Addr, Weight: r.Weight, Zone: n.Config.Zone, Host: n.Config.Host, Version: r.Version, Labels: labels, Framing: r.Framing,
		},
	}}
	target := cmp.Or(r.Target, r.Addr)
	switch r.Check {
	case "thrift":
		k.check = func(ctx context.Context) error { return call.Healthy(ctx, target, wire, r.Service, r.Method) }
	case "heartbeat":
		k.check = func(ctx context.Context) error { return call.Beats(ctx, target) }
	default:
		k.check = func(ctx context.Context) error { return accepts(ctx, "tcp", target) }
	}
	return k, nil
}

func defaultFraming(layout string) string {
	if layout == string(zookeeper.Dapeng) {
		return "dapeng"
	}
	return "framed-binary"
}

// The pace of checks where the configuration does not say.
const (
	checkInterval = 2 * time.Second
	checkTimeout  = time.Second
	checkFailures = 3
)

// run checks until ctx ends. Before the first checks have told anything, a predecessor's node stands.
func (k *keeper) run(ctx context.Context) {
	interval, patience := cmp.Or(k.cfg.Interval, checkInterval), cmp.Or(k.cfg.Timeout, checkTimeout)
	patience = min(patience, interval)
	log := k.node.Log.With("service", k.cfg.Service, "addr", k.cfg.Addr, "registry", k.cfg.In)
	failed, known, in := 0, false, false
	for {
		within, cancel := context.WithTimeout(ctx, patience)
		err := k.check(within)
		cancel()
		if ctx.Err() != nil {
			return
		}
		switch {
		case err == nil:
			failed = 0
			if known && in {
				break
			}
			if err := k.in.Register(k.what); err != nil {
				log.Error("a service of this host can't be registered", "problem", err)
				return
			}
			known, in = true, true
			log.Info("a service of this host is healthy: registered")
		case failed+1 < cmp.Or(k.cfg.Failures, checkFailures):
			failed++
		case !known || in:
			k.in.Withdraw(k.what)
			known, in = true, false
			log.Warn("a service of this host failed its checks: taken out", "problem", err)
		}
		wait := time.NewTimer(interval - rand.N(interval/10+1))
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
	}
}

// joinEnsemble lists this remote proxy in an ensemble, and returns what takes it out again.
func (n *node) joinEnsemble(name, addr string) (leave func(), err error) {
	e := n.ensemble(name)
	g := zookeeper.Registration{Path: cmp.Or(e.cfg.Remotes, config.DefaultRemotes), Endpoint: registry.Endpoint{Addr: addr, Zone: n.Config.Zone}}
	if err := e.registrar.Register(g); err != nil {
		return nil, err
	}
	return func() {
		select {
		case <-e.registrar.Withdraw(g):
		case <-time.After(leaveTimeout):
			n.Log.Warn("this remote proxy could not be taken out of the registry; its entry ends with the session", "registry", name)
		}
	}, nil
}

// leaveTimeout bounds how long an ensemble that does not answer holds up the drain.
const leaveTimeout = 2 * time.Second

// registers says whether anything is registered in an ensemble by this process.
func (n *node) registers(z *config.ZooKeeper) bool {
	if n.Role == config.Remote {
		return n.Config.Remote.Register == "zookeeper:"+z.Name
	}
	for i := range n.Config.Register {
		if n.Config.Register[i].In == z.Name {
			return true
		}
	}
	return false
}

// ensemble finds one by its name, "" the first; the configuration was checked to have it.
func (n *node) ensemble(name string) *ensemble {
	for _, e := range n.ensembles {
		if name == "" || e.cfg.Name == name {
			return e
		}
	}
	return nil
}
