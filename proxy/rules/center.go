package rules

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// flushLimit is how long a slow disk may hold up the end of Run.
const flushLimit = 2 * time.Second

// Center keeps the rules of one place in force: it judges every version, hands out those that are good and keeps the old
// ones when one is bad or when there is none any more. One goroutine, that of Run, judges; the source only leaves a version
// in the mailbox and rings the bell.
type Center struct {
	source   registry.DocumentSource
	log      *slog.Logger
	onChange func(*Rules)
	saver    saver
	bell     chan struct{} // capacity 1: mail is there
	spoke    chan struct{} // closed when the source has said something, and it was judged
	once     sync.Once

	mu     sync.Mutex // guards what follows
	mail   *registry.Document
	rules  *Rules
	status Status
}

// NewCenter returns a center of the document of one source. lastGood is the path of the file that keeps the rules over a
// restart, in a directory that only we can write; "": none.
func NewCenter(source registry.DocumentSource, lastGood string, log *slog.Logger) *Center {
	return &Center{
		source: source, log: log, bell: make(chan struct{}, 1), spoke: make(chan struct{}),
		saver:  saver{path: lastGood, log: log, bell: make(chan struct{}, 1), done: make(chan struct{})},
		status: Status{Source: source.Name()},
	}
}

// OnChange names the function that gets every set of rules that comes into force, in order and one at a time, on the
// goroutine of Run. Those of LoadLastGood are not among them. Before Run only.
func (c *Center) OnChange(f func(*Rules)) { c.onChange = f }

// Rules are those in force; nil: none. Safe for concurrent use.
func (c *Center) Rules() *Rules {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rules
}

// Spoke is closed when the source has answered for the first time, and what it said is in force or refused. Safe for
// concurrent use.
func (c *Center) Spoke() <-chan struct{} { return c.spoke }

// LoadLastGood puts the rules of the last run in force, until the source answers. A missing file is no error. One that
// can't be used is left alone and named in the error; the center runs on all the same. Before Run only.
func (c *Center) LoadLastGood() error {
	kept, r, err := loadKept(c.saver.path)
	if err != nil || r == nil {
		return err
	}
	c.rules = r
	c.status.InForce = &InForce{From: kept.From, Version: kept.Version, Digest: r.Digest, Since: time.Now(), LastGood: true}
	return nil
}

// Run runs the source and blocks until ctx ends; it then returns nil. A source that fails is run again, later and later;
// what it said last stands meanwhile. Run may be called once.
func (c *Center) Run(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run := func() error { return c.source.Run(ctx, c.publish) }
		registry.RunAgain(ctx, run, func(err error, in time.Duration) {
			c.count(func(s *Status) { s.SourceErrors++ })
			c.log.Error("the source of the rules failed; it is run again", "source", c.source.Name(), "in", in, "problem", err)
		})
	}()
	go c.saver.run()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-c.bell:
			c.mu.Lock()
			doc := c.mail
			c.mu.Unlock()
			c.take(*doc)
			c.once.Do(func() { close(c.spoke) })
		}
	}
	<-ended
	c.saver.finish(flushLimit)
	return nil
}

// publish is what the source calls. A version that was not yet taken is replaced: only the newest counts.
func (c *Center) publish(d registry.Document) {
	c.mu.Lock()
	c.mail = &d
	c.mu.Unlock()
	select {
	case c.bell <- struct{}{}:
	default:
	}
}

func (c *Center) count(f func(*Status)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.status)
}

// take judges a version.
func (c *Center) take(d registry.Document) {
	if d.Data == nil {
		c.missing(d)
		return
	}
	r, err := Parse(d.From, d.Data)
	if err != nil {
		c.refuse(d, err)
		return
	}
	now := time.Now()
	c.mu.Lock()
	old := c.status.InForce
	changed := old == nil || old.Digest != r.Digest
	in := &InForce{From: d.From, Version: d.Version, Digest: r.Digest, Since: now}
	if changed {
		c.rules = r
		c.status.Accepted++
	} else {
		in.Since = old.Since
	}
	c.status.InForce, c.status.Wrong, c.status.Missing = in, false, false
	r = c.rules
	c.mu.Unlock()
	if changed {
		c.log.Info("rules in force", "from", d.From, "version", d.Version, "digest", r.Digest)
		if c.onChange != nil {
			c.onChange(r)
		}
	}
	c.saver.offer(kept{From: d.From, Version: d.Version, Data: d.Data})
}

// missing: somebody removed the document, or never made one. Rules that are in force are somebody's will until somebody
// says otherwise.
func (c *Center) missing(d registry.Document) {
	c.mu.Lock()
	first := !c.status.Missing
	c.status.Missing, c.status.Wrong = true, false
	in := c.status.InForce
	c.mu.Unlock()
	switch {
	case !first:
	case in != nil:
		c.log.Warn("the rules document is not there any more; the old rules stay in force", "place", d.From, "digest", in.Digest)
	default:
		c.log.Info("there is no rules document", "place", d.From)
	}
}

// refuse tells where the problem is, once for each version.
func (c *Center) refuse(d registry.Document, err error) {
	ps := ProblemsOf(err)
	refused := &Refusal{From: d.From, Version: d.Version, Digest: digestOf(d.Data), When: time.Now(), Problems: ps}
	c.mu.Lock()
	last := c.status.Refused
	again := c.status.Wrong && last.Digest == refused.Digest && last.Version == refused.Version
	if !again {
		c.status.RefusedN++
	}
	c.status.Refused, c.status.Wrong, c.status.Missing = refused, true, false
	c.mu.Unlock()
	if !again {
		c.log.Error("rules refused; the old ones stay in force", "place", d.From, "version", d.Version, "digest", refused.Digest,
			"line", ps[0].Line, "key", ps[0].Key, "problem", ps[0].Text, "problems", len(ps))
	}
}
