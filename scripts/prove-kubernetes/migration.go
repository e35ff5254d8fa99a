package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/callers"
	"github.com/bellhop-mesh/bellhop/scripts/zkensemble"
)

const (
	session = 4 * time.Second
	root    = "/bellhop/services/"
)

// old is the ensemble that services move away from.
type old struct {
	ensemble *zkensemble.Ensemble
	tree     *zkensemble.Tree
}

func (o *old) close() {
	if o.tree != nil {
		o.tree.Close()
	}
	if o.ensemble != nil {
		o.ensemble.Close()
	}
}

// openOld starts an ensemble of one server.
func openOld(dir string) (o *old, err error) {
	o = &old{}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return o, err
	}
	if o.ensemble, err = zkensemble.Start(dir, zkensemble.Options{Servers: 1}); err == nil {
		o.tree, err = zkensemble.OpenTree(o.ensemble.Servers())
	}
	return o, err
}

// migration moves all services from ZooKeeper to Kubernetes while both are there: the same servers are in both, then new
// ones in Kubernetes alone, then ZooKeeper knows nobody, then the old servers end, then there is no ZooKeeper.
func migration(ctx context.Context, s *stage, t *prove.Table) error {
	from, err := openOld(filepath.Join(s.Dir, "zk"))
	defer from.close()
	if err != nil {
		return err
	}
	for _, service := range shop {
		if err := s.add(service, 4); err != nil {
			return err
		}
		for _, p := range s.pods[service] {
			if err := from.tree.Put(root + service + "/" + p.addr); err != nil {
				return err
			}
		}
	}
	s.more = fmt.Sprintf(", zookeeper: [{name: main, servers: %q, session: %s}]", from.ensemble.Servers(), session)
	if err := s.begin(ctx, shop...); err != nil {
		return err
	}
	begun := time.Now()
	n, err := s.Under(ctx, func() error { return s.move(ctx, from) })
	callers.Calls(t, "four services move from ZooKeeper to Kubernetes", n, time.Since(begun))
	if err != nil {
		return err
	}
	took, err := s.afterwards(ctx)
	if err == nil {
		callers.Seen(t, "… a change in Kubernetes after it is in force", took, time.Second)
	}
	return err
}

// move is the migration, step by step.
func (s *stage) move(ctx context.Context, from *old) error {
	for _, service := range shop { // the same servers in both
		if err := s.create(service); err != nil {
			return err
		}
	}
	if err := callers.Wait(ctx, callers.Settle); err != nil {
		return err
	}
	first := map[string][]*pod{}
	for _, service := range shop {
		first[service] = slices.Clone(s.pods[service])
		for range 4 {
			if _, err := s.change(ctx, service); err != nil {
				return err
			}
		}
	}
	for _, service := range shop { // nobody is in ZooKeeper any more
		var ops []any
		for _, p := range first[service] {
			ops = append(ops, zkensemble.Remove(root+service+"/"+p.addr))
		}
		if err := from.tree.Apply(append(ops, zkensemble.Remove(root+service))); err != nil {
			return err
		}
	}
	if err := callers.Wait(ctx, callers.Settle); err != nil {
		return err
	}
	for _, service := range shop { // the old servers end
		for _, p := range first[service] {
			s.remove(service, p)
		}
		if err := s.tell(service); err != nil {
			return err
		}
	}
	if err := callers.Wait(ctx, callers.Settle); err != nil {
		return err
	}
	for _, service := range shop {
		for _, p := range first[service] {
			s.Peers[p.addr].Stop(callers.Drained)
		}
	}
	from.ensemble.Close()
	return callers.Wait(ctx, 3*session)
}

// afterwards is how long a change takes without the ensemble.
func (s *stage) afterwards(ctx context.Context) (took time.Duration, err error) {
	_, err = s.Under(ctx, func() (err error) {
		took, err = s.change(ctx, shop[0])
		return err
	})
	return took, err
}
