package main

import (
	"time"

	"github.com/go-zookeeper/zk"
)

// wire counts the bytes of each thing that a proxy does.
func (b *bench) wire() error {
	h, err := connect(b.servers, 30*time.Second, nil)
	if err != nil {
		return err
	}
	defer h.close()
	w := &b.m.Wire
	w.PathBytes = len(service(0))
	w.Session = h.settled()
	for _, step := range []struct {
		to *both
		f  func() error
	}{
		{&w.List10, func() error { _, _, _, err := h.conn.ChildrenW(service(0)); return err }},
		{&w.List100, func() error { _, _, _, err := h.conn.ChildrenW(service(100)); return err }},
		{&w.Read, func() error { _, _, err := h.conn.Get(service(0) + "/" + instance(0)); return err }},
		{&w.Exists, func() error { _, _, err := h.conn.Exists(service(0)); return err }},
	} {
		before := h.bytes()
		if err := step.f(); err != nil {
			return err
		}
		*step.to = h.settled().less(before)
	}
	if err := b.wireEvent(h); err != nil {
		return err
	}
	return b.wireResume()
}

func (b *bench) wireEvent(h *host) error {
	other, err := connect(b.servers, time.Second, nil) // pings every third of a second
	if err != nil {
		return err
	}
	defer other.close()
	before := h.bytes()
	if err := change(other, 0); err != nil {
		return err
	}
	b.m.Wire.Event = h.settled().less(before)
	was := other.bytes()
	const pings = 6
	for n := 0; n < pings; { // a ping is an xid, an operation and a length: whatever else is idle
		<-time.After(time.Millisecond)
		n = int((other.bytes().Up - was.Up) / 12)
	}
	<-time.After(100 * time.Millisecond)
	b.m.Wire.Ping = other.bytes().less(was).over(pings)
	return nil
}

// wireResume tells what a reconnect costs without watches, and what each watch adds.
func (b *bench) wireResume() error {
	var cost [2]both
	for i, watches := range []int{0, 100} {
		back := make(chan time.Time, 1)
		h, err := connect(b.servers, 30*time.Second, func(at time.Time) { back <- at })
		if err != nil {
			return err
		}
		defer h.close()
		for j := range watches {
			if _, _, _, err := h.conn.ChildrenW(service(j)); err != nil {
				return err
			}
		}
		before := h.settled()
		h.cut()
		<-back
		cost[i] = h.settled().less(before)
	}
	b.m.Wire.Resume = cost[0]
	b.m.Wire.SetWatches = cost[1].less(cost[0]).over(100)
	return nil
}

// change makes a child and takes it away: two changes.
func change(h *host, i int) error {
	p := service(i) + "/10.99.99.99:9090"
	if _, err := h.conn.Create(p, []byte(payload), zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
		return err
	}
	return h.conn.Delete(p, -1)
}
