package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Making, losing and sweeping the generator's connections.

const (
	dialTimeout = time.Second
	sweepEvery  = 100 * time.Millisecond
)

// dialled is a connection that was made for a line, or not.
type dialled struct {
	id  int32
	fd  int
	err error
}

// prepare becomes the source that we are to be, connects, and waits for the moment at which the load begins.
func (g *generator) prepare(ctx context.Context) error {
	if g.o.unit != "" {
		if err := becomeUnit(g.o.unit); err != nil {
			return err
		}
	}
	if err := g.connect(ctx); err != nil {
		return err
	}
	if err := g.tickers(); err != nil {
		return err
	}
	if g.o.startAt == 0 {
		return nil
	}
	wait := time.NewTimer(time.Until(time.UnixMilli(g.o.startAt)))
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// connect opens every line. The error is the first one: a load that cannot begin says why.
func (g *generator) connect(ctx context.Context) error {
	talks := map[string]*speech{}
	for i := range g.o.connections * g.tier.count() {
		l := &line{slots: make([]slot, g.o.depth), tier: i / g.o.connections}
		name := nameOf(g.o.service, g.o.services, i%g.o.connections, g.o.connections)
		if talks[name] == nil {
			sp, err := g.o.speech(i % g.o.connections)
			if err != nil {
				return err
			}
			talks[name] = sp
		}
		l.talk = talks[name]
		l.id, l.codec = int32(i), g.codec
		g.lines = append(g.lines, l)
		d := g.dial(ctx, l.id)
		if d.err != nil {
			return fmt.Errorf("connection %d of %d: %w", i+1, g.o.connections*g.tier.count(), d.err)
		}
		if err := g.opened(l, d.fd); err != nil {
			return err
		}
	}
	return nil
}

// dial connects. Safe for concurrent use.
func (g *generator) dial(ctx context.Context, id int32) dialled {
	c, err := g.who.dial(ctx, g.tier.target(int(id)/g.o.connections, g.target), int(id))
	if err != nil {
		return dialled{id: id, err: err}
	}
	fd, err := takeFD(c)
	return dialled{id: id, fd: fd, err: err}
}

func (g *generator) opened(l *line, fd int) error {
	l.fd, l.up, l.events, l.announced = fd, true, 0, false
	l.in, l.out, l.sent, l.dirty = l.in[:0], l.out[:0], 0, false
	l.scan.Reset()
	l.free = l.free[:0]
	for i := range l.slots {
		l.slots[i].seq = 0
		l.free = append(l.free, int32(i))
		if g.o.rate != 0 {
			g.idle[l.tier] = append(g.idle[l.tier], l)
		}
	}
	return l.listen(g.poll, unix.EPOLLIN)
}

// end closes a line that has an error; its calls are lost, and it is dialled again.
func (g *generator) end(l *line, err error) {
	if err == nil || !l.up {
		return
	}
	l.up = false
	_ = unix.Close(l.fd)
	lost := int64(0)
	for i := range l.slots {
		if l.slots[i].seq != 0 {
			l.slots[i].seq = 0
			lost++
		}
	}
	g.inFlight -= int(lost)
	kind := "lost"
	switch {
	case errors.Is(err, errTimeout):
		kind = "timeout"
	case errors.Is(err, errStray):
		kind = "stray"
	}
	if g.counts() {
		g.res.reconnects++
		if lost > 0 {
			g.res.fail(kind, err, lost)
		}
	} else if !g.measured && lost > 0 {
		g.res.early[kind] += lost
	}
	if !g.stopped {
		g.dialling++
		go func() { g.dialled <- g.dial(context.Background(), l.id) }()
	}
}

var errTimeout = errors.New("no reply in time")

// sweep looks after what the loop does not see by itself.
func (g *generator) sweep() {
	late := g.now() - g.o.timeout
	for _, l := range g.lines {
		if !l.up {
			continue
		}
		for i := range l.slots {
			if s := &l.slots[i]; s.seq != 0 && s.sent < late {
				g.end(l, errTimeout)
				break
			}
		}
	}
	for {
		select {
		case d := <-g.dialled:
			g.redialled(d)
		default:
			return
		}
	}
}

// redialled takes a new connection, or tries again.
func (g *generator) redialled(d dialled) {
	l := g.lines[d.id]
	g.dialling--
	switch {
	case d.err == nil && g.stopped:
		_ = unix.Close(d.fd)
	case d.err == nil:
		if err := g.opened(l, d.fd); err != nil {
			g.end(l, err)
		} else if g.o.rate == 0 {
			g.fillLine(l)
		}
	case !g.stopped:
		g.res.fail("connect", d.err, 0)
		g.dialling++
		time.AfterFunc(sweepEvery, func() { g.dialled <- g.dial(context.Background(), d.id) })
	}
}

// tickers starts the timers of the loop.
func (g *generator) tickers() (err error) {
	if g.timers[0], err = ticker(sweepEvery); err != nil {
		return err
	}
	if err = g.poll.watch(g.timers[0], sweepTick, unix.EPOLLIN); err != nil || g.o.rate == 0 || g.arrive.rnd != nil {
		return err
	}
	// Eight ticks for each call: what a call waits for its tick would be taken for latency.
	every := time.Duration(float64(time.Second) / g.o.rate)
	if g.timers[1], err = ticker(min(max(every/8, 100*time.Microsecond), sweepEvery)); err != nil {
		return err
	}
	return g.poll.watch(g.timers[1], paceTick, unix.EPOLLIN)
}

func (g *generator) drainTick(fd int) {
	var b [8]byte
	_, _ = unix.Read(fd, b[:])
}

func (g *generator) close() {
	g.tier.close()
	for g.stopped = true; g.dialling > 0; {
		g.redialled(<-g.dialled)
	}
	for _, l := range g.lines {
		if l.up {
			_ = unix.Close(l.fd)
		}
	}
	for _, fd := range g.timers {
		if fd > 0 {
			_ = unix.Close(fd)
		}
	}
	g.poll.close()
}
