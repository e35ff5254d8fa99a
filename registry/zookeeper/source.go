package zookeeper

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// Options say what a Source looks for and where. Zero fields mean their defaults.
type Options struct {
	Name     string   // of the source; default zookeeper
	Layout   Layout   // default Bellhop
	Path     string   // of a service, with {service} for its name; default Layout.Root()
	Remotes  string   // the path under which remote proxies register; "": they are not looked for
	Endpoint string   // serverset: the additional endpoint that speaks Thrift; "": the service endpoint
	Framing  string   // of services whose instances do not say; "": the data plane's default (dapeng in the layout dapeng)
	Services []string // watched from the start and never forgotten

	UsedFile    string        // keeps the names of the services in use over a restart; "": none
	MaxServices int           // watched at most; default 10,000
	MaxPending  int           // look-ups that wait at most; default 1,000
	MaxUnknown  int           // names remembered as unknown at most; default 10,000
	Readers     int           // requests under way for look-ups at most; default 8
	Unknown     time.Duration // how long a name that is not there is not asked for again; default 5s
	Audit       time.Duration // every node is looked at this often, less a random part of up to a half; default 25s
	Forget      time.Duration // a service that nobody has called for so long is not watched any more; default 168h

	CheckFraming func(word string) error // which framing words there are; nil: every word passes
	Log          *slog.Logger
}

func (o *Options) defaults() {
	if o.Name == "" {
		o.Name = "zookeeper"
	}
	or := func(n *int, def int) {
		if *n == 0 {
			*n = def
		}
	}
	after := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	if o.Layout == "" {
		o.Layout = Bellhop
	}
	if o.Path == "" {
		o.Path = o.Layout.Root()
	}
	or(&o.MaxServices, 10_000)
	or(&o.MaxPending, 1_000)
	or(&o.MaxUnknown, 10_000)
	or(&o.Readers, 8)
	after(&o.Unknown, 5*time.Second)
	after(&o.Audit, 25*time.Second)
	after(&o.Forget, 168*time.Hour)
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

// The times that nobody needs to set.
const (
	readTimeout  = 5 * time.Second        // of one look-up
	readGap      = 100 * time.Millisecond // between two listings of one service: a rollout changes it many times a second
	publishGap   = 20 * time.Millisecond  // between two updates
	auditGrace   = time.Second            // a difference that is younger may be an event on its way
	firstRetry   = 500 * time.Millisecond // after a failed look-up; doubles up to
	lastRetry    = 30 * time.Second       // this
	lastingRetry = 5 * time.Minute        // after an answer that will not change soon: no access, a reply that is too long
	maxInstances = 20_000                 // of one service
)

// ensemble is what a Source needs of a Client; tests of the logic have one without an ensemble.
type ensemble interface {
	children(ctx context.Context, path string, watch bool) (node, error)
	stat(ctx context.Context, path string, watch bool) (node, bool, error)
	read(ctx context.Context, path string) ([]byte, int64, error)
	listen(func(event))
	bounce()
	abs(path string) string
}

// Source is an ensemble as a registry of services. Create it with New.
type Source struct {
	o       Options
	client  ensemble
	unknown func(service string) // Before Run only

	work    chan struct{} // a token: the queue is not empty
	publish chan struct{} // capacity 1: there is news
	recheck chan struct{} // capacity 1: audit now

	mu      sync.Mutex // guards what follows
	entries map[string]*entry
	paths   map[string]*entry
	remotes *entry
	queue   []*entry
	missing int // names known not to be there
	watched int // the others
	initial int // of those watched from the start: not answered yet
	usedNew bool
	// Services that are not watched any more because nobody uses them, and since when: they are gone by our own will.
	forgotten map[string]time.Time

	lookups, failures, refused, answeredUnknown, bad, audits, corrected, saveErrors atomic.Uint64
}

// New returns a source over a client. unknown, which may be nil, is told of every wanted service whose look-up ended
// without one; it is called on a reader's goroutine.
func New(client *Client, o Options, unknown func(service string)) *Source {
	return newSource(client, o, unknown)
}

func newSource(client ensemble, o Options, unknown func(string)) *Source {
	o.defaults()
	if unknown == nil {
		unknown = func(string) {}
	}
	s := &Source{
		o: o, client: client, unknown: unknown,
		work: make(chan struct{}, o.Readers), publish: make(chan struct{}, 1), recheck: make(chan struct{}, 1),
		entries: map[string]*entry{}, paths: map[string]*entry{}, forgotten: map[string]time.Time{},
	}
	now := time.Now()
	used, err := loadUsed(o.UsedFile, o.MaxServices)
	if err != nil {
		o.Log.Error("the names of the services in use are not known; they will be learned again", "error", err)
	}
	for name, at := range used {
		if now.Sub(at) < o.Forget {
			s.begin(name, at, false)
		}
	}
	for _, name := range o.Services {
		s.begin(name, now, true)
	}
	if o.Remotes != "" {
		s.remotes = &entry{path: client.abs(o.Remotes), layout: Bellhop, used: true, pinned: true, first: true}
		s.paths[s.remotes.path] = s.remotes
		s.initial++
	}
	s.initial++ // the ensemble's first answer to anything: see contact
	client.listen(s.happened)
	return s
}

// Remember watches services from the start, those of last-known-good above all: calls of them find an endpoint, and so
// never ask for a look-up. Before Run only.
func (s *Source) Remember(names ...string) {
	for _, name := range names {
		if s.watched < s.o.MaxServices && CheckName(name) == nil {
			s.begin(name, time.Now(), false)
		}
	}
}

// begin watches a service from the start.
func (s *Source) begin(name string, at time.Time, pinned bool) {
	if err := CheckName(name); err != nil {
		s.o.Log.Error("a service is left out", "service", clip(name), "error", err)
		return
	}
	if e := s.entries[name]; e != nil {
		e.pinned = e.pinned || pinned
		return
	}
	e := s.add(name)
	e.used, e.pinned, e.first, e.usedAt = true, pinned, true, at
	s.watched++
	s.initial++
}

func (s *Source) add(name string) *entry {
	e := &entry{name: name, path: s.client.abs(strings.ReplaceAll(s.o.Path, "{service}", name)), layout: s.o.Layout}
	s.entries[name], s.paths[e.path] = e, e
	return e
}

// maxServiceName is the longest name that becomes part of a path, in bytes.
const maxServiceName = 255

// CheckName judges a service's name before it becomes part of a path: names come in frames, from anybody.
func CheckName(name string) error {
	if name == "" || len(name) > maxServiceName {
		return fmt.Errorf("the name has %d bytes; 1 to %d are right", len(name), maxServiceName)
	}
	if name == "." || name == ".." {
		return fmt.Errorf("the name %q is no name of a node", name)
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-$:@+~", rune(c)) {
			return fmt.Errorf("the name %q has a byte that is none of letters, digits and . _ - $ : @ + ~", clip(name))
		}
	}
	return nil
}

// Name is what the options call it.
func (s *Source) Name() string { return s.o.Name }

// Want asks for a service that somebody calls and that the routing table does not know. true: it is being looked up, and
// either an update has it soon or the function given to New is told. false: there is no such service, as far as is known,
// or too much is asked for. It does not block. Safe for concurrent use.
func (s *Source) Want(name string) bool {
	if CheckName(name) != nil {
		s.refused.Add(1)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	e := s.entries[name]
	switch {
	case e == nil && (s.watched >= s.o.MaxServices || s.missing >= s.o.MaxUnknown || len(s.queue) >= s.o.MaxPending):
		s.refused.Add(1)
		return false
	case e == nil:
		e = s.add(name)
		s.missing++ // until it is found
	case e.queued || e.busy:
		return true
	case e.service != nil && e.service != e.published: // the next update says it; the first one waits for all in use
		return true
	case e.service != nil: // the table has it soon, or the data plane can't use it
		return now.Sub(e.told) < time.Second
	case now.Before(e.until):
		s.answeredUnknown.Add(1)
		return false
	case len(s.queue) >= s.o.MaxPending:
		s.refused.Add(1)
		return false
	}
	s.lookups.Add(1)
	s.enqueue(e)
	return true
}

// Used says that services were called lately: they stay watched. One that another source has is looked for here, too.
// Safe for concurrent use.
func (s *Source) Used(names ...string) {
	now := time.Now()
	for _, name := range names {
		s.mu.Lock()
		e := s.entries[name]
		if e != nil && e.used && now.Sub(e.usedAt) > time.Hour {
			e.usedAt, s.usedNew = now, true
		}
		s.mu.Unlock()
		if e == nil || !e.used {
			s.Want(name)
		}
	}
}

// Run looks services up and publishes them until ctx ends; it then returns nil. The first update comes when everything
// that was in use at the last run has been asked for.
func (s *Source) Run(ctx context.Context, publish func(registry.Update)) error {
	s.mu.Lock()
	for _, e := range s.paths {
		s.enqueue(e)
	}
	s.mu.Unlock()
	var all sync.WaitGroup
	all.Go(func() { s.contact(ctx) })
	for range s.o.Readers {
		all.Go(func() { s.reader(ctx) })
	}
	all.Go(func() { s.auditor(ctx) })
	all.Go(func() { s.saver(ctx) })
	s.publisher(ctx, publish)
	all.Wait()
	return nil
}

// contact waits for the ensemble's first answer: a host that uses nothing yet must not say so before it could know better.
func (s *Source) contact(ctx context.Context) {
	for {
		within, cancel := context.WithTimeout(ctx, readTimeout)
		_, _, err := s.client.stat(within, s.client.abs("/"), false)
		cancel()
		if err == nil {
			break
		}
		if !pause(ctx, jittered(firstRetry)) {
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.initial--; s.initial == 0 {
		ring(s.publish)
	}
}

// pause waits; false: ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}
