package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/config"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/proxy/rules"
	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/registry/file"
	"github.com/bellhop-mesh/bellhop/registry/zookeeper"
)

// ruleBook is the rules in force and what puts them over snapshots.
type ruleBook struct {
	*rules.Center
	*rules.Applier
}

// documentSource opens the place of the rules. The error names the key.
func (n *node) documentSource() (registry.DocumentSource, error) {
	switch r := &n.Config.Rules; {
	case r.ZooKeeper != "":
		return zookeeper.NewDocument(n.ensemble(r.Ensemble).client, r.ZooKeeper, n.Log), nil
	case r.ConfigMap != "":
		return n.rulesDocument()
	default:
		return file.NewDocument(r.Path, n.Log, file.WithPoll(n.Config.Registry.Poll)), nil
	}
}

// openRules puts the rules of the last run in force.
func (n *node) openRules(context.Context) error {
	c := &n.Config.Rules
	if !c.Set() {
		return nil
	}
	source, err := n.documentSource()
	if err != nil {
		return &ConfigError{err}
	}
	keep := c.LastGood
	if keep == config.Off {
		keep = ""
	}
	n.rules = &ruleBook{rules.NewCenter(source, keep, n.Log), rules.NewApplier(CheckService, n.Log)}
	if err := n.rules.LoadLastGood(); err != nil {
		n.Log.Error("last-good rules not used; starting without rules", "error", err)
	}
	return nil
}

// startRules lets the place of the rules replace them from now on.
func (n *node) startRules(context.Context) error {
	if n.rules == nil {
		return nil
	}
	n.rules.OnChange(func(*rules.Rules) { n.swapTable() })
	n.table.Lock()
	n.obeyHostRules() // those of the last run
	n.table.Unlock()
	n.spawn(func(ctx context.Context) { _ = n.rules.Run(ctx) }) // returns nil
	return nil
}

// awaitRules waits until the place of the rules has answered, within the time that the registry has.
func (n *node) awaitRules(ctx context.Context) error {
	if n.rules == nil {
		return nil
	}
	late := time.NewTimer(time.Until(n.waited))
	defer late.Stop()
	select {
	case <-n.rules.Spoke():
	case <-ctx.Done():
		return ctx.Err()
	case <-late.C:
		known := "none"
		if r := n.rules.Rules(); r != nil {
			known = r.Digest
		}
		n.Log.Warn("the place of the rules has not answered; starting with those of the last run", "digest", known)
	}
	return nil
}

// CheckRules judges rules over a registry: the error names every service that could not be called as the rules want.
func CheckRules(u registry.Update, r *rules.Rules) error {
	a := rules.NewApplier(CheckService, slog.New(slog.DiscardHandler))
	a.Apply(&registry.Snapshot{Services: u.Services}, r)
	var errs []error
	for _, c := range a.Conflicts() {
		errs = append(errs, fmt.Errorf("the rules do not fit the service %s: %s", c.Service, c.Problem))
	}
	return errors.Join(errs...)
}

// callRules are the rules for calls in force; nil: there are none.
func (n *node) callRules() *govern.Rules {
	if n.rules == nil {
		return nil
	}
	if r := n.rules.Rules(); r != nil {
		return r.Govern()
	}
	return nil
}
