package idl

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"
)

// The bounds of a load.
const (
	maxFile  = 4 << 20 // bytes of one file
	maxFiles = 256     // files of one program
	maxChain = 64      // includes within includes
)

// file is one file with the names it defines.
type file struct {
	path     string
	doc      *document
	includes map[string]*file
	names    map[string]*definition
}

// definition is one name of a file; exactly one node is set.
type definition struct {
	name     string
	pos      lexer.Position
	file     *file
	typedef  *typedefNode
	enumNode *enumNode
	record   *structNode
	constant *constNode
	node     *serviceNode

	resolving bool
	typ       *Type    // of a typedef, enum or struct
	service   *Service // of a service
}

// lookup finds a name of the file, or include.name.
func (f *file) lookup(name string) *definition {
	if d := f.names[name]; d != nil {
		return d
	}
	if base, rest, ok := strings.Cut(name, "."); ok {
		// The include's own name may have dots: a.b.thrift is referred to as a.b.Name.
		for ; ok; base, rest, ok = further(base, rest) {
			if inc := f.includes[base]; inc != nil && inc.names[rest] != nil {
				return inc.names[rest]
			}
		}
	}
	return nil
}

func further(base, rest string) (string, string, bool) {
	head, tail, ok := strings.Cut(rest, ".")
	return base + "." + head, tail, ok
}

// Load reads a file and what it includes. An include is looked for in the folder of the file that names it, then in
// dirs. Errors of the files are *Error.
func Load(path string, dirs []string) (*Program, error) {
	l := &loader{dirs: dirs, files: map[string]*file{}, read: readFile}
	return l.program(path)
}

type loader struct {
	dirs  []string
	files map[string]*file // by path; nil while a file's includes are being read
	chain []string
	read  func(path string) (string, error)
}

func (l *loader) program(path string) (*Program, error) {
	text, err := l.read(path)
	if err != nil {
		return nil, err
	}
	root, err := l.load(path, text)
	if err != nil {
		return nil, err
	}
	return resolve(root)
}

// readFile reads a file of bounded size.
func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s: larger than %d MiB, which no IDL file should be", path, maxFile>>20)
	}
	return string(b), err
}

func (l *loader) load(path, text string) (*file, error) {
	doc, err := parse(path, text)
	if err != nil {
		return nil, err
	}
	f := &file{path: path, doc: doc, includes: map[string]*file{}, names: map[string]*definition{}}
	l.files[path] = nil
	l.chain = append(l.chain, path)
	for _, e := range doc.Entries {
		if e.Include != nil {
			if err := l.include(f, e); err != nil {
				return nil, err
			}
		}
		if err := f.define(e); err != nil {
			return nil, err
		}
	}
	l.chain = l.chain[:len(l.chain)-1]
	l.files[path] = f
	return f, nil
}

func (l *loader) include(f *file, e *entry) error {
	name := unquote(*e.Include)
	base := strings.TrimSuffix(filepath.Base(name), ".thrift")
	for _, dir := range append([]string{filepath.Dir(f.path)}, l.dirs...) {
		path := filepath.Join(dir, name)
		if filepath.IsAbs(name) {
			path = filepath.Clean(name)
		}
		if inc, known := l.files[path]; inc != nil {
			f.includes[base] = inc
			return nil
		} else if known {
			return at(e.Pos, "files include each other: %s → %s: move what both need to a third file", strings.Join(l.chain, " → "), path)
		}
		text, err := l.read(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return at(e.Pos, "include %q: %v", name, err)
		}
		if len(l.files) >= maxFiles || len(l.chain) >= maxChain {
			return at(e.Pos, "more than %d files, or includes more than %d deep", maxFiles, maxChain)
		}
		f.includes[base], err = l.load(path, text)
		return err
	}
	return at(e.Pos, "include %q is neither in %s nor in a folder of -I: name its folder with -I", name, filepath.Dir(f.path))
}

// define notes the name that e defines.
func (f *file) define(e *entry) error {
	d := &definition{pos: e.Pos, file: f}
	switch {
	case e.Const != nil:
		d.name, d.constant = e.Const.Name, e.Const
	case e.Typedef != nil:
		d.name, d.typedef = e.Typedef.Name, e.Typedef
	case e.Enum != nil:
		d.name, d.enumNode = e.Enum.Name, e.Enum
	case e.Struct != nil:
		d.name, d.record = e.Struct.Name, e.Struct
	case e.Service != nil:
		d.name, d.node = e.Service.Name, e.Service
	default:
		return nil
	}
	if old := f.names[d.name]; old != nil {
		return at(e.Pos, "%s is defined already, in line %d: give one of them another name", d.name, old.pos.Line)
	}
	f.names[d.name] = d
	return nil
}

// unquote takes the quotes and escapes from a string token, as Thrift's own compiler does.
func unquote(s string) string {
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r", `\t`, "\t", `\"`, `"`, `\'`, `'`).Replace(s)
}
