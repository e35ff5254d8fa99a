package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"
)

// savedVersion is the version of the last-known-good file. One JSON object, ours alone:
//
//	{"version": 1, "saved": "2006-01-02T15:04:05Z",
//	 "sources": [{"name": "file", "services": [Service, …], "remotes": [Remote, …],
//	              "held": [{"service": "a", "addr": "10.0.0.1:9090", "since": "…", "why": "mass-removal"}, …]}, …]}
//
// It is kept per source, so that a source that answers after a restart replaces its own part only. Endpoints that were
// held when it was written are in it, and marked: a restart must not turn a bad update into the truth, and what was held
// is held on. Unknown keys are ignored.
const savedVersion = 1

type savedFile struct {
	Version int         `json:"version"`
	Saved   time.Time   `json:"saved"`
	Sources []savedPart `json:"sources"`
}

type savedPart struct {
	Name     string          `json:"name"`
	Services []*savedService `json:"services,omitempty"`
	Remotes  []Remote        `json:"remotes,omitempty"`
	Held     []savedHold     `json:"held,omitempty"`
}

// savedHold marks an endpoint of Services, or without a service one of Remotes, as held.
type savedHold struct {
	Service string    `json:"service,omitempty"`
	Addr    string    `json:"addr"`
	Since   time.Time `json:"since"`
	Why     string    `json:"why"`
}

// savedService is a Service that gives way before it is encoded: see [Manager].
type savedService Service

// MarshalJSON encodes it as a Service.
func (s *savedService) MarshalJSON() ([]byte, error) {
	runtime.Gosched()
	return json.Marshal((*Service)(s))
}

func (s savedPart) update() Update {
	u := Update{Services: make(map[string]*Service, len(s.Services)), Remotes: s.Remotes}
	for _, svc := range s.Services {
		u.Services[svc.Name] = (*Service)(svc)
	}
	return u
}

// loadSaved reads the last-known-good file; nil without an error when there is none.
func loadSaved(path string, limit int64) (*savedFile, error) {
	data, err := ReadBounded(path, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("last-known-good file not used: %w", err)
	}
	var f savedFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("last-known-good file %s is corrupt and not used: %w", path, err)
	}
	if f.Version != savedVersion {
		return nil, fmt.Errorf("last-known-good file %s has version %d and is not used: this program knows version %d", path, f.Version, savedVersion)
	}
	for _, p := range f.Sources {
		for i, s := range p.Services {
			if s == nil {
				return nil, fmt.Errorf("last-known-good file %s is corrupt and not used: service %d of source %q is null", path, i, p.Name)
			}
		}
	}
	return &f, nil
}

// saver writes the last-known-good file on its own goroutine, the newest state only and not too often.
type saver struct {
	path  string
	limit int64
	every time.Duration
	log   *slog.Logger
	stats *counters

	mu    sync.Mutex
	next  *savedJob
	ended bool
	bell  chan struct{} // capacity 1: next or ended was set
	done  chan struct{} // closed when run returned
}

// savedJob holds only what is immutable, so it may be encoded while the manager goes on.
type savedJob struct {
	names  []string
	states []Update
	held   [][][]savedHold
}

// offer leaves the newest state to be written. It does not block.
func (s *saver) offer(parts []*part, states []Update) {
	if s.path == "" {
		return
	}
	j := &savedJob{states: states}
	for _, p := range parts {
		j.names = append(j.names, p.name)
		j.held = append(j.held, p.marks())
	}
	s.mu.Lock()
	s.next = j
	s.mu.Unlock()
	s.ring()
}

func (s *saver) ring() {
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

// run writes until finish was called and nothing is left to write.
func (s *saver) run() {
	defer close(s.done)
	if s.path == "" {
		return
	}
	RemoveStrays(s.path)
	var last time.Time
	for range s.bell {
		s.mu.Lock()
		job, ended := s.next, s.ended
		s.mu.Unlock()
		if wait := time.Until(last.Add(s.every)); job != nil && !ended && wait > 0 {
			s.rest(wait)
		}
		s.mu.Lock()
		job, ended, s.next = s.next, s.ended, nil
		s.mu.Unlock()
		if job != nil {
			s.write(job)
			last = time.Now()
		}
		if ended {
			return
		}
	}
}

// rest waits, but not longer than until the end was called.
func (s *saver) rest(wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return
		case <-s.bell:
			s.mu.Lock()
			ended := s.ended
			s.mu.Unlock()
			if ended {
				return
			}
		}
	}
}

// finish lets run write what is left and waits for it, but not for ever: a disk may hang.
func (s *saver) finish(limit time.Duration) {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.ring()
	select {
	case <-s.done:
	case <-time.After(limit):
		s.stats.lkgWriteErrors.Add(1)
		s.log.Error("last-known-good file not written: the disk did not answer in time", "file", s.path, "waited", limit)
	}
}

func (s *saver) write(job *savedJob) {
	err := job.write(s.path, s.limit)
	if err != nil {
		s.stats.lkgWriteErrors.Add(1)
		s.log.Error("last-known-good file not written; the old one stands", "file", s.path, "problem", err)
		return
	}
	s.stats.lkgWrites.Add(1)
}

func (j *savedJob) write(path string, limit int64) error {
	f := savedFile{Version: savedVersion, Saved: time.Now().UTC()}
	for i, u := range j.states {
		p := savedPart{Name: j.names[i], Remotes: u.Remotes, Held: sortedMarks(j.held[i])}
		for _, name := range slices.Sorted(maps.Keys(u.Services)) {
			p.Services = append(p.Services, (*savedService)(u.Services[name]))
		}
		f.Sources = append(f.Sources, p)
	}
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if int64(len(data)) > limit {
		return fmt.Errorf("it would have %d bytes; the bound is %d", len(data), limit)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	_, err = ReplaceFile(path, data, 0o600)
	return err
}
