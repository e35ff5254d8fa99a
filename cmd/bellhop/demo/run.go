package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// options are the flags.
type options struct {
	total time.Duration
	json  bool
}

// demo is a running one. Its fields belong to the goroutine of run.
type demo struct {
	options
	*stage
	screen  *screen
	events  events
	proxy   string // what became of the local proxy
	far     *record
	records []*record // in the order of the table, far included
	rows    []row     // of the last whole second
	skipped []string
}

// run is the whole demo, from an empty directory to none.
func run(ctx context.Context, o options, out *os.File) error {
	d := &demo{options: o, screen: newScreen(out), proxy: serving}
	if o.json {
		d.screen = &screen{w: io.Discard}
	}
	var err error
	if d.stage, err = newStage(d.screen.say); err != nil {
		return err
	}
	defer d.close()
	d.screen.say("bellhop demo in %s", d.dir)
	if err := d.build(ctx); err != nil {
		return err
	}
	if err := d.play(ctx); err != nil {
		return err
	}
	s := summarize(d.records, d.far, d.events)
	s.Skipped = append(s.Skipped, d.skipped...)
	s.Interrupted = ctx.Err() != nil
	d.screen.say("%s", s)
	if o.json {
		if err := json.NewEncoder(out).Encode(s); err != nil {
			return err
		}
	}
	if err := s.verdict(); err != nil {
		return err
	}
	d.screen.say("demo: no call failed")
	return nil
}

// play has the callers call, and the local proxy die and come back, until the time is over.
func (d *demo) play(ctx context.Context) error {
	near := newRecord("Go", greeterService)
	osp := newRecord("OSP", ordersService)
	d.far = newRecord("Go", farawayService)
	d.records = []*record{near, osp, d.far}
	d.say(stageLine, "Go", fmt.Sprintf("%d calls/s", time.Second/goPace), "a caller with package client")
	d.say(stageLine, "OSP", fmt.Sprintf("%d calls/s", time.Second/ospPace), "a caller that speaks OSP and reads the address file itself")
	python, err := d.startPython(ctx)
	var none *noPythonError
	switch {
	case errors.As(err, &none):
		d.say("%v", err)
		d.skipped = append(d.skipped, err.Error())
	case err != nil:
		return err
	default:
		d.say(stageLine, "Python", "200 calls/s", "a caller with bellhop_client and Apache Thrift")
		rec := newRecord("Python", greeterService)
		d.records = []*record{near, rec, osp, d.far}
		if err := python.call(rec); err != nil {
			return err
		}
	}
	d.events.start = time.Now()
	calling, stop := context.WithTimeout(ctx, d.total)
	defer stop()
	var callers sync.WaitGroup
	ended := make(chan error, 2)
	callers.Go(func() { ended <- callGo(calling, d.addressFile(), near, d.far) })
	callers.Go(func() { ended <- callOSP(calling, d.addressFile(), osp) })
	err = d.watch(calling)
	d.events.end = time.Now()
	stop()
	callers.Wait()
	if python != nil {
		python.stop()
	}
	for _, r := range d.records {
		r.finished(d.events.end)
	}
	return errors.Join(err, <-ended, <-ended)
}

// How often is drawn, and over how long the figures are.
const (
	drawEvery = 250 * time.Millisecond
	window    = time.Second
)

// watch shows the callers until ctx ends, and does to the local proxy what the demo is about:
//
//	0 ──────────────── half: kill -9 ──── and a sixth: start again ──────────── end
func (d *demo) watch(ctx context.Context) error {
	kill := time.After(d.total / 2)
	var restart <-chan time.Time // from the kill on: a process that stood still must not turn the two around
	draw := time.NewTicker(drawEvery)
	defer draw.Stop()
	served := make(chan error, 1)
	var starts sync.WaitGroup
	defer starts.Wait() // no start may run when the family is closed
	cut := d.events.start
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-d.trouble:
			return err
		case <-kill:
			d.events.kill = time.Now()
			d.stage.local.kill()
			restart = time.After(d.total / 6)
			d.turn(killed, "kill -9 of the local proxy: calls go on through the remote one")
		case <-restart:
			d.turn(starting, "the local proxy is started again")
			starts.Go(func() {
				_, err := d.startLocal(ctx)
				served <- err
			})
		case err := <-served:
			if err != nil {
				return err
			}
			d.events.back = time.Now()
			d.turn(restarted, "the local proxy serves again: callers come back after a second of healthy probes")
		case now := <-draw.C:
			cut = d.draw(now, cut)
		}
	}
}

// turn tells what became of the local proxy.
func (d *demo) turn(to, text string) {
	d.proxy = to
	d.say("%6.1f s  %s", time.Since(d.events.start).Seconds(), text)
}

// draw shows the present, and takes a new reading every window. It returns when the last one was.
func (d *demo) draw(now, cut time.Time) time.Time {
	second := now.Sub(cut) >= window-drawEvery/2
	if second || d.rows == nil {
		d.rows = make([]row, len(d.records))
		for i, r := range d.records {
			d.rows[i] = r.cut(now.Sub(cut))
		}
		cut = now
	}
	d.screen.show(frame{now.Sub(d.events.start), d.total, d.proxy, d.rows}, second)
	return cut
}
