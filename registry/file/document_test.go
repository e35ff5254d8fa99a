package file

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// following is a document source under test.
type following struct {
	t    *testing.T
	src  *Document
	said chan registry.Document
	log  *logBook
}

// follow starts a source whose poll is far away, so that only inotify can bring news, unless an option says otherwise.
func follow(t *testing.T, path string, opts ...Option) *following {
	t.Helper()
	f := &following{t: t, said: make(chan registry.Document, 16), log: &logBook{hits: make(chan struct{}, 64)}}
	log := slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelError}))
	f.src = NewDocument(path, log, append([]Option{WithPoll(time.Hour)}, opts...)...)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.src.Run(ctx, func(d registry.Document) { f.said <- d }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v; it ends with nil", err)
		}
	})
	return f
}

// wants waits for the next version.
func (f *following) wants(text string) registry.Document {
	f.t.Helper()
	select {
	case d := <-f.said:
		if string(d.Data) != text || d.Data == nil {
			f.t.Fatalf("published %q; want %q", d.Data, text)
		}
		return d
	case <-time.After(patience):
		f.t.Fatalf("nothing was published; want %q; log: %s", text, f.log)
	}
	return registry.Document{}
}

// wantsNone waits for "there is none".
func (f *following) wantsNone() {
	f.t.Helper()
	select {
	case d := <-f.said:
		if d.Data != nil || d.From == "" {
			f.t.Fatalf("published %+v; want no data, and where that was", d)
		}
	case <-time.After(patience):
		f.t.Fatalf("nothing was published; log: %s", f.log)
	}
}

func TestDocumentIsFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yaml")
	f := follow(t, path)
	f.wantsNone()
	write(t, path, "one")
	if d := f.wants("one"); d.From != path || d.Version == "" {
		t.Errorf("published %+v", d)
	}
	replace(t, path, "two")
	f.wants("two")
	must(t, os.Remove(path))
	f.wantsNone()
	write(t, path, "")
	f.wants("") // there, and empty: not the same as not there
	big := strings.Repeat("x", registry.MaxDocument+5)
	write(t, path, big)
	f.wants(big[:registry.MaxDocument+1])
}

// TestDocumentInAConfigMap: a mounted one is a symbolic link to a folder that is swapped.
func TestDocumentInAConfigMap(t *testing.T) {
	dir := t.TempDir()
	put := func(version, text string) {
		must(t, os.Mkdir(filepath.Join(dir, version), 0o700))
		write(t, filepath.Join(dir, version, "rules.yaml"), text)
		must(t, os.Symlink(version, filepath.Join(dir, "..tmp")))
		must(t, os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
	}
	put("..v1", "one")
	must(t, os.Symlink("..data/rules.yaml", filepath.Join(dir, "rules.yaml")))
	f := follow(t, filepath.Join(dir, "rules.yaml"))
	f.wants("one")
	put("..v2", "two")
	f.wants("two")
}

// TestDocumentThatCantBeRead: what was published stands, and the operator is told once.
func TestDocumentThatCantBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, path, "one")
	f := follow(t, path)
	f.wants("one")
	must(t, os.Remove(path))
	f.wantsNone()
	must(t, os.Mkdir(path, 0o700))
	select {
	case <-f.log.hits:
	case d := <-f.said:
		t.Fatalf("published %+v", d)
	case <-time.After(patience):
		t.Fatal("no error was logged")
	}
	if !strings.Contains(f.log.String(), "is not a regular file") || f.src.ReadErrors() != 1 {
		t.Errorf("%d errors: %s", f.src.ReadErrors(), f.log)
	}
}
