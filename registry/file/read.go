package file

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/bellhop-mesh/bellhop/registry"
	"github.com/bellhop-mesh/bellhop/registry/strict"
)

// content is the bytes of a registry, all files of it, and their digest.
type content struct {
	files  []rawFile
	digest [sha256.Size]byte
}

type rawFile struct {
	path string
	data []byte
}

// Read reads a registry once, as Source does: `bellhop check` and tests. The error is strict.Problems when the content is wrong.
func Read(path string, opts ...Option) (registry.Update, error) {
	o := newOptions(opts)
	c, err := readAll(path)
	if err != nil {
		return registry.Update{}, err
	}
	return parseAll(c, o.hooks)
}

func parseAll(c content, h hooks) (registry.Update, error) {
	out := &strict.Report{}
	r := &room{endpoints: maxEndpoints, remotes: maxRemotes}
	docs := make([]document, 0, len(c.files))
	for _, f := range c.files {
		p := &parser{Reader: strict.Reader{File: f.path, Report: out}, hooks: h, room: r}
		docs = append(docs, p.parse(f.data))
	}
	u := unite(docs, out)
	if err := out.Err(); err != nil {
		return registry.Update{}, err
	}
	return u, nil
}

// list returns the files of a registry: the path itself, or what a folder holds, sorted. Names that start with a dot are
// left out: the ..data of Kubernetes, swap files of editors, our own temporary files.
func list(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, pathProblem(path, err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path) // sorted
	if err != nil {
		return nil, pathProblem(path, err)
	}
	var files []string
	for _, e := range entries {
		if name := e.Name(); isRegistryName(name) {
			files = append(files, filepath.Join(path, name))
		}
	}
	if len(files) > maxFiles {
		return nil, strict.Problems{{File: path, Text: fmt.Sprintf("holds %d files; the bound is %d", len(files), maxFiles)}}
	}
	return files, nil
}

func isRegistryName(name string) bool {
	return !strings.HasPrefix(name, ".") && (strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml"))
}

func readAll(path string) (content, error) {
	files, err := list(path)
	if err != nil {
		return content{}, err
	}
	var c content
	var wrong strict.Report
	sum := sha256.New()
	left := int64(maxBytes)
	for _, f := range files {
		data, err := readFile(f, left)
		if err != nil {
			p := pathProblem(f, err)
			wrong.Add(p[0].File, 0, "", "%s", p[0].Text)
			continue
		}
		left -= int64(len(data))
		c.files = append(c.files, rawFile{f, data})
		fmt.Fprintf(sum, "%d %s %d ", len(f), f, len(data)) // lengths first: no two registries may hash alike
		sum.Write(data)
	}
	sum.Sum(c.digest[:0])
	return c, wrong.Err()
}

// readFile reads a regular file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	data, size, err := readStart(path, limit+1)
	if size = max(size, int64(len(data))); err == nil && size > limit {
		err = tooLarge(size, limit)
	}
	return data, err
}

// readStart reads at most so many bytes of a regular file, and says how many it has; O_NONBLOCK keeps a FIFO of that name
// from stopping us.
func readStart(path string, most int64) (data []byte, size int64, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, errors.New("is not a regular file; put a YAML file there, or give it another name")
	}
	data, err = io.ReadAll(io.LimitReader(f, most))
	return data, info.Size(), err
}

func tooLarge(size, left int64) error {
	return fmt.Errorf("has %d bytes, and %d of the %d that a registry may have are left; list less", size, left, maxBytes)
}

// pathProblem says of a file-system error what an operator can do about it.
func pathProblem(path string, err error) strict.Problems {
	text := err.Error()
	var pe *fs.PathError
	if errors.As(err, &pe) {
		text = pe.Err.Error()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		text = "does not exist; create the file, or a folder of *.yaml files"
	case errors.Is(err, fs.ErrPermission):
		text = fmt.Sprintf("may not be read by uid %d; change its mode or owner", os.Geteuid())
	}
	return strict.Problems{{File: path, Text: text}}
}
