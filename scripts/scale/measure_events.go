package main

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

// fanOut changes one service that every session watches.
func (b *bench) fanOut() error {
	fleet, err := fleetOf(b.servers, sessions, nil)
	if err != nil {
		return err
	}
	defer closeAll(fleet)
	var first, half, last []float64
	var used float64
	for range rounds {
		events := make([]<-chan zk.Event, len(fleet))
		if err := each(len(fleet), func(i int) (err error) {
			_, _, events[i], err = fleet[i].conn.ChildrenW(service(0))
			return err
		}); err != nil {
			return err
		}
		before := b.cpus()
		took, err := fanOnce(fleet[0], events)
		if err != nil {
			return err
		}
		used += b.cpus() - before
		first, half, last = append(first, took[0]), append(half, took[len(took)/2]), append(last, took[len(took)-1])
	}
	b.m.FanOut = fanOut{sessions, rounds, median(first), median(half), median(last), slices.Max(last), used / rounds / sessions}
	return nil
}

// fanOnce returns when each watcher had its event, in milliseconds after the change was asked for, in order.
func fanOnce(by *host, events []<-chan zk.Event) ([]float64, error) {
	took := make([]float64, len(events))
	var all sync.WaitGroup
	began := time.Now()
	for i, c := range events {
		all.Go(func() {
			<-c
			took[i] = millis(time.Since(began))
		})
	}
	began = time.Now() // nobody reads it before the first event
	err := change(by, 0)
	if err != nil {
		return nil, err
	}
	all.Wait()
	slices.Sort(took)
	return took, nil
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// losses ends a follower, and then the leader, without the random pause that a proxy makes.
func (b *bench) losses() (err error) {
	if b.m.Loss, err = b.lose((b.e.Leader() + 1) % len(b.servers)); err != nil {
		return err
	}
	b.m.Leader, err = b.lose(b.e.Leader())
	return err
}

func (b *bench) lose(i int) (loss, error) {
	l := loss{Sessions: moving, WatchesOf: movingOf}
	var mu sync.Mutex // guards last and Moved
	var last time.Time
	fleet, err := fleetOf(b.servers, moving, func(at time.Time) {
		mu.Lock()
		defer mu.Unlock()
		last = at
		l.Moved++
	})
	if err != nil {
		return l, err
	}
	defer closeAll(fleet)
	if err := each(moving, func(j int) error { return watch(fleet[j], movingOf) }); err != nil {
		return l, err
	}
	before := b.cpus() - b.cpu(i)
	b.e.Kill(i)
	began := time.Now()
	for b.watches() < moving*movingOf {
		if time.Since(began) > 30*time.Second {
			return l, fmt.Errorf("%d of %d watches after 30s", b.watches(), moving*movingOf)
		}
		<-time.After(5 * time.Millisecond)
	}
	l.WatchesMs = millis(time.Since(began))
	used := b.cpus() - before
	mu.Lock()
	l.SessionsMs = millis(last.Sub(began))
	l.Micros = used / float64(max(1, l.Moved))
	mu.Unlock()
	if err := b.e.Restart(i); err != nil {
		return l, err
	}
	return l, b.e.Await(20 * time.Second)
}
