package file

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// Document is a registry.DocumentSource in a file. Create it with NewDocument.
type Document struct {
	path   string
	log    *slog.Logger
	opts   options
	errors atomic.Uint64
}

// NewDocument returns a source of the document in the file at path, which need not exist yet. The file may be edited in
// place, replaced by a rename, or be a symbolic link that is swapped, as in a mounted ConfigMap. Of the options WithPoll
// alone matters. A file beyond registry.MaxDocument is published with one byte more than that: it is the receiver's to
// refuse it, and to say so.
func NewDocument(path string, log *slog.Logger, opts ...Option) *Document {
	if log == nil {
		log = slog.Default()
	}
	return &Document{path: path, log: log, opts: newOptions(opts)}
}

// Name returns "file".
func (d *Document) Name() string { return "file" }

// ReadErrors counts the times that the file was there and could not be read; each reason counts once in a row. Safe for
// concurrent use.
func (d *Document) ReadErrors() uint64 { return d.errors.Load() }

// Run implements registry.DocumentSource. It returns nil.
func (d *Document) Run(ctx context.Context, publish func(registry.Document)) error {
	f := &follower{
		path: d.path, log: d.log, opts: d.opts, readAll: readDocument,
		judge: func(c content) {
			doc := registry.Document{From: d.path}
			for _, f := range c.files {
				doc.Data = f.data
				if info, err := os.Stat(f.path); err == nil {
					doc.Version = info.ModTime().UTC().Format(time.RFC3339Nano)
				}
			}
			publish(doc)
		},
		fail: func(err error) {
			d.errors.Add(1)
			d.log.Error("document not read; what was read before stands", "path", d.path, "problem", err)
		},
	}
	f.run(ctx)
	return nil
}

// readDocument reads one file; none is no error, but a content without files.
func readDocument(path string) (content, error) {
	data, _, err := readStart(path, registry.MaxDocument+1)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return content{}, nil
	case err != nil:
		return content{}, pathProblem(path, err)
	}
	if data == nil {
		data = []byte{} // the file is there
	}
	return content{files: []rawFile{{path, data}}, digest: sha256.Sum256(data)}, nil
}
