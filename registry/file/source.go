package file

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/registry/strict"
)

const (
	defaultPoll = time.Second           // where inotify is not to be had
	safetyRatio = 10                    // where it is, the files are still looked at every so many polls: NFS, bind mounts
	settle      = 50 * time.Millisecond // without an event, before the files are read: a writer may need several writes
	settleLimit = time.Second           // but no longer than this after the first event
	racyAge     = 2 * time.Second       // a file younger than this when it was read may have changed within one clock tick
	maxShown    = 20                    // problems in one log record
)

// Option changes how a registry is read.
type Option func(*options)

type options struct {
	hooks    hooks
	poll     time.Duration
	newWatch func() (watcher, error)
}

// WithFraming names the judge of framing words, of services and of endpoints. Its error is shown after the key: it says
// what is wrong and what to write. Without one every word passes. It may be called from any goroutine.
func WithFraming(check func(word string) error) Option {
	return func(o *options) { o.hooks.framing = check }
}

// WithValidate names a judge of whole services. It sees those that had no other problem, and must not change them; its
// error is shown at the service's line.
func WithValidate(check func(*registry.Service) error) Option {
	return func(o *options) { o.hooks.service = check }
}

// WithPoll sets how often the files are looked at where inotify is not to be had (default 1s), and every tenth of that
// where it is.
func WithPoll(every time.Duration) Option {
	return func(o *options) {
		if every > 0 {
			o.poll = every
		}
	}
}

func newOptions(opts []Option) options {
	o := options{poll: defaultPoll, newWatch: newInotify}
	for _, f := range opts {
		f(&o)
	}
	return o
}

// Source is the registry in a file or a folder of files. Create it with New.
type Source struct {
	path string
	log  *slog.Logger
	opts options

	mu    sync.Mutex // guards stats
	stats Stats
}

// Stats are the counters of a Source.
type Stats struct {
	Reloads   uint64 // contents read without an error and published, the first one included
	Errors    uint64 // contents that could not be read or were wrong; each content counts once
	LastError string // what is wrong with the files as they are now; "" when nothing is
}

// New returns a source that reads path, a YAML file or a folder of *.yaml and *.yml files. The path need not exist yet.
func New(path string, log *slog.Logger, opts ...Option) *Source {
	if log == nil {
		log = slog.Default()
	}
	return &Source{path: path, log: log, opts: newOptions(opts)}
}

// Name returns "file".
func (s *Source) Name() string { return "file" }

// Authoritative returns true: an edit is the operator's will, and takes effect at once.
func (s *Source) Authoritative() bool { return true }

// Stats returns the counters as they are now. Safe for concurrent use.
func (s *Source) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Run reads the files, publishes what they say, and does so again whenever they change, until ctx ends. It returns nil.
// Contents with an error are logged once and not published.
func (s *Source) Run(ctx context.Context, publish func(registry.Update)) error {
	f := &follower{path: s.path, log: s.log, opts: s.opts, readAll: readAll, fail: s.reject, judge: func(c content) {
		u, err := parseAll(c, s.opts.hooks)
		if err != nil {
			s.reject(err)
			return
		}
		s.accept(u)
		publish(u)
	}}
	f.run(ctx)
	return nil
}

func (s *Source) accept(u registry.Update) {
	s.mu.Lock()
	s.stats.Reloads++
	s.stats.LastError = ""
	s.mu.Unlock()
	endpoints := 0
	for _, svc := range u.Services {
		endpoints += len(svc.Endpoints)
	}
	s.log.Info("registry file read", "path", s.path, "services", len(u.Services), "endpoints", endpoints,
		"remotes", len(u.Remotes))
}

// reject tells the operator, once per content, where the problem is.
func (s *Source) reject(err error) {
	s.mu.Lock()
	s.stats.Errors++
	s.stats.LastError = err.Error()
	s.mu.Unlock()
	var ps strict.Problems
	if !errors.As(err, &ps) || len(ps) == 0 {
		s.log.Error("registry file not read; what was read before stands", "path", s.path, "problem", err)
		return
	}
	shown := make([]string, 0, maxShown)
	for _, p := range ps[:min(len(ps), maxShown)] {
		shown = append(shown, p.String())
	}
	s.log.Error("registry file not taken; what was read before stands", "file", ps[0].File, "line", ps[0].Line,
		"key", ps[0].Key, "problem", ps[0].Text, "problems", len(ps), "all", strings.Join(shown, "\n"))
}
