package zookeeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// The file of the names in use: {"version":1,"services":{"com.example.Hello":1700000000}}, with the Unix time of the
// last use. It is replaced as a whole.
type usedFile struct {
	Version  int              `json:"version"`
	Services map[string]int64 `json:"services"`
}

const (
	maxUsedFile = 16 << 20 // bytes
	saveEvery   = time.Second
)

// loadUsed reads the file. A missing one is no error.
func loadUsed(path string, most int) (map[string]time.Time, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxUsedFile+1))
	if err != nil {
		return nil, err
	}
	var u usedFile
	if len(b) > maxUsedFile {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxUsedFile)
	}
	if err := json.Unmarshal(b, &u); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if u.Version != 1 {
		return nil, fmt.Errorf("%s has the version %d; this program reads 1", path, u.Version)
	}
	out := make(map[string]time.Time, len(u.Services))
	for name, at := range u.Services {
		if len(out) == most {
			break
		}
		if CheckName(name) == nil {
			out[name] = time.Unix(at, 0)
		}
	}
	return out, nil
}

// saver writes the file when names have come or gone, at most once a second, and at the end.
func (s *Source) saver(ctx context.Context) {
	if s.o.UsedFile == "" {
		return
	}
	for pause(ctx, saveEvery) {
		s.save()
	}
	s.save()
}

func (s *Source) save() {
	s.mu.Lock()
	if !s.usedNew {
		s.mu.Unlock()
		return
	}
	s.usedNew = false
	u := usedFile{Version: 1, Services: make(map[string]int64, s.watched)}
	for name, e := range s.entries {
		if e.used && !e.pinned {
			u.Services[name] = e.usedAt.Unix()
		}
	}
	s.mu.Unlock()
	b, err := json.Marshal(u)
	if err == nil {
		_, err = registry.ReplaceFile(s.o.UsedFile, b, 0o600)
	}
	if err != nil {
		s.saveErrors.Add(1)
		s.o.Log.Error("the names of the services in use were not saved", "error", err)
	}
}
