package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// keptVersion is the version of the last-good file: one JSON object, ours alone.
//
//	{"version": 1, "from": "/etc/bellhop/rules.yaml", "document_version": "…", "digest": "…", "saved": "…", "document": "dmVyc2lvbjogMQo="}
//
// Unknown keys are ignored.
const keptVersion = 1

// maxKept bounds the file, which has the document in base64.
const maxKept = 2 * registry.MaxDocument

type kept struct {
	Format  int       `json:"version"`
	From    string    `json:"from"`
	Version string    `json:"document_version"`
	Digest  string    `json:"digest"`
	Saved   time.Time `json:"saved"`
	Data    []byte    `json:"document"`
}

// loadKept reads the last-good file and its document as strictly as any; nil rules without an error: there is none.
func loadKept(path string) (kept, *Rules, error) {
	if path == "" {
		return kept{}, nil, nil
	}
	data, err := registry.ReadBounded(path, maxKept)
	if errors.Is(err, fs.ErrNotExist) {
		return kept{}, nil, nil
	}
	if err != nil {
		return kept{}, nil, fmt.Errorf("last-good rules not used: %w", err)
	}
	var k kept
	if err := json.Unmarshal(data, &k); err != nil {
		return kept{}, nil, fmt.Errorf("last-good rules %s are corrupt and not used: %w", path, err)
	}
	if k.Format != keptVersion {
		return kept{}, nil, fmt.Errorf("last-good rules %s have version %d and are not used: this program knows version %d", path, k.Format, keptVersion)
	}
	if digest := digestOf(k.Data); digest != k.Digest {
		return kept{}, nil, fmt.Errorf("last-good rules %s are corrupt and not used: their digest is %s, and they should have %s", path, digest, k.Digest)
	}
	r, err := Parse(path, k.Data)
	if err != nil { // written by another release
		return kept{}, nil, fmt.Errorf("last-good rules are not used: %w", err)
	}
	return k, r, nil
}

// saver writes the last-good file on a goroutine of its own: a disk may hang. The newest document only.
type saver struct {
	path string
	log  *slog.Logger
	bell chan struct{} // capacity 1: next or ended was set
	done chan struct{} // closed when run has returned

	mu             sync.Mutex // guards what follows
	next           *kept
	ended          bool
	writes, failed uint64
	problem        string
}

// offer leaves a document to be written. It does not block.
func (s *saver) offer(k kept) {
	if s.path == "" {
		return
	}
	s.mu.Lock()
	s.next = &k
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
	if s.path != "" {
		registry.RemoveStrays(s.path)
	}
	for range s.bell {
		s.mu.Lock()
		k, ended := s.next, s.ended
		s.next = nil
		s.mu.Unlock()
		if k != nil {
			s.wrote(k.write(s.path))
		}
		if ended {
			return
		}
	}
}

// wrote counts one write.
func (s *saver) wrote(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problem = ""
	if err == nil {
		s.writes++
		return
	}
	s.failed++
	s.problem = err.Error()
	s.log.Error("last-good rules not written; the old file stands", "file", s.path, "problem", err)
}

// finish lets run write what is left and waits for it, but not for ever.
func (s *saver) finish(limit time.Duration) {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.ring()
	select {
	case <-s.done:
	case <-time.After(limit):
		s.wrote(fmt.Errorf("the disk did not answer in %v", limit))
	}
}

func (s *saver) describe(st *Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.LastGoodWrites, st.LastGoodErrors, st.LastGoodProblem = s.writes, s.failed, s.problem
}

func (k *kept) write(path string) error {
	k.Format, k.Saved, k.Digest = keptVersion, time.Now().UTC(), digestOf(k.Data)
	data, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	_, err = registry.ReplaceFile(path, data, 0o600)
	return err
}
