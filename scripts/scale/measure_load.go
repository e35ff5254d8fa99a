package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

const (
	sessions = 1000
	watching = 100 // services that each session watches
	moving   = 500
	movingOf = 50
	rounds   = 20
)

// requests loads one server, a follower, with one kind of request at a time.
func (b *bench) requests() error {
	i := (b.e.Leader() + 1) % len(b.servers)
	fleet, err := fleetOf([]string{b.e.Addr(i)}, 64, nil)
	if err != nil {
		return err
	}
	defer closeAll(fleet)
	for _, step := range []struct {
		to *cost
		f  func(h *host, n int) error
	}{
		{&b.m.List10, func(h *host, n int) error { _, _, err := h.conn.Children(service(n % 100)); return err }},
		{&b.m.List100, func(h *host, _ int) error { _, _, err := h.conn.Children(service(100)); return err }},
		{&b.m.Read, func(h *host, n int) error {
			_, _, err := h.conn.Get(service(n%100) + "/" + instance(n%instances))
			return err
		}},
		{&b.m.Exists, func(h *host, n int) error { _, _, err := h.conn.Exists(service(n % 100)); return err }},
	} {
		for _, n := range []int{60_000, 60_000} { // the first warms the server's compiler
			used, began := b.cpu(i), time.Now()
			if err := each(n, func(j int) error { return step.f(fleet[j%len(fleet)], j) }); err != nil {
				return err
			}
			step.to.PerSecond = float64(n) / time.Since(began).Seconds()
			step.to.Micros = (b.cpu(i) - used) / float64(n)
		}
	}
	return nil
}

// pings holds sessions so short that they ping every third of a second; what idle servers use is taken off.
func (b *bench) pings() error {
	const forSeconds = 3
	idle := b.cpus()
	<-time.After(forSeconds * time.Second)
	idle = b.cpus() - idle
	fleet := make([]*host, sessions)
	if err := each(sessions, func(i int) (err error) {
		fleet[i], err = connect(b.servers, time.Second, nil)
		return err
	}); err != nil {
		return err
	}
	defer closeAll(fleet)
	sent := func() (up float64) {
		for _, h := range fleet {
			up += h.bytes().Up
		}
		return up / b.m.Wire.Ping.Up
	}
	began, used, before := time.Now(), b.cpus(), sent()
	<-time.After(forSeconds * time.Second)
	n := sent() - before
	b.m.Ping = cost{n / time.Since(began).Seconds(), (b.cpus() - used - idle) / n}
	return nil
}

// paced sends a follower so many exists a second, as audits come: one by one, from many sessions. A server that is not
// busy takes more CPU for each, since it is woken for each.
func (b *bench) paced() error {
	const from = 400
	i := (b.e.Leader() + 1) % len(b.servers)
	fleet, err := fleetOf([]string{b.e.Addr(i)}, from, nil)
	if err != nil {
		return err
	}
	defer closeAll(fleet)
	for _, rate := range []int{1000, 4000, 12_000} {
		var all sync.WaitGroup
		var n, failed atomic.Int64
		used, began := b.cpu(i), time.Now()
		every := time.Second * from / time.Duration(rate)
		for k, h := range fleet {
			all.Go(func() {
				<-time.After(every * time.Duration(k) / from) // one after the other
				t := time.NewTicker(every)
				defer t.Stop()
				for range t.C {
					if time.Since(began) > 3*time.Second {
						return
					}
					if _, _, err := h.conn.Exists(service(k % 100)); err != nil {
						failed.Add(1)
					}
					n.Add(1)
				}
			})
		}
		all.Wait()
		if failed.Load() > 0 {
			return fmt.Errorf("%d requests failed", failed.Load())
		}
		done := float64(n.Load())
		b.m.Paced = append(b.m.Paced, cost{done / time.Since(began).Seconds(), (b.cpu(i) - used) / done})
	}
	return nil
}

// writes makes and removes ephemeral nodes over all servers.
func (b *bench) writes() error {
	fleet, err := fleetOf(b.servers, 64, nil)
	if err != nil {
		return err
	}
	defer closeAll(fleet)
	const n = 3000
	leader := b.e.Leader()
	before, led, began := b.cpus(), b.cpu(leader), time.Now()
	if err := each(n, func(j int) error {
		p := fmt.Sprintf("%s/10.98.%d.%d:9090", service(j%100), j/100, j%100)
		if _, err := fleet[j%64].conn.Create(p, []byte(payload), zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
			return err
		}
		return fleet[j%64].conn.Delete(p, -1)
	}); err != nil {
		return err
	}
	ledFor := b.cpu(leader) - led
	b.m.Write = writes{
		PerSecond:      2 * n / time.Since(began).Seconds(),
		LeaderMicros:   ledFor / (2 * n),
		FollowerMicros: (b.cpus() - before - ledFor) / float64(len(b.servers)-1) / (2 * n),
	}
	return nil
}

// memory compares the live heaps of the servers before and after sessions, their watches, and ephemeral nodes.
func (b *bench) memory() error {
	m := &b.m.Memory
	m.Sessions, m.Watches, m.Ephemerals = sessions, sessions*watching, 5000
	var err error
	if m.Heap, err = b.lives(); err != nil {
		return err
	}
	used, began := b.cpus(), time.Now()
	fleet, err := fleetOf(b.servers, sessions, nil)
	if err != nil {
		return err
	}
	defer closeAll(fleet)
	b.m.Open = opening{sessions / time.Since(began).Seconds(), (b.cpus() - used) / sessions}
	with, err := b.lives()
	if err != nil {
		return err
	}
	m.Session = (with - m.Heap) * 3 / sessions // a server holds a third of the connections
	if err := each(sessions, func(i int) error { return watch(fleet[i], watching) }); err != nil {
		return err
	}
	if got := b.watches(); got < m.Watches {
		return fmt.Errorf("the servers hold %d watches, not %d", got, m.Watches)
	}
	watched, err := b.lives()
	if err != nil {
		return err
	}
	m.Watch = (watched - with) * 3 / float64(m.Watches)
	if err := each(m.Ephemerals, func(i int) error { // below a service that nobody watches; all servers hold all
		p := fmt.Sprintf("%s/10.97.%d.%d:9090", service(100), i/100, i%100)
		_, err := fleet[i%sessions].conn.Create(p, []byte(payload), zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
		return err
	}); err != nil {
		return err
	}
	all, err := b.lives()
	m.Ephemeral = (all - watched) / float64(m.Ephemerals)
	return err
}

func watch(h *host, n int) error {
	for j := range n {
		if _, _, _, err := h.conn.ChildrenW(service(j)); err != nil {
			return err
		}
	}
	return nil
}
