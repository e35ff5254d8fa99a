package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// A source is one hand-written Go file.
type source struct {
	path  string // from the root of the module, with slashes
	file  *ast.File
	fset  *token.FileSet
	lines int
}

func (s *source) dir() string  { return path.Dir(s.path) }
func (s *source) test() bool   { return strings.HasSuffix(s.path, "_test.go") }
func (s *source) inBody() bool { return s.dir() == proxyDir && !s.test() }

func (s *source) report(rule string, at token.Pos, text string) finding {
	return finding{rule: rule, pos: s.fset.Position(at), text: text}
}

// skipped are folders that hold nothing we wrote.
func skipped(name string) bool {
	return name == "testdata" || name == "node_modules" || name == "vendor" || name == "bin" || name == "dist" ||
		name != "." && strings.HasPrefix(name, ".")
}

// parseTree parses every Go file below root that people wrote.
func parseTree(fset *token.FileSet, root string) ([]*source, error) {
	var sources []*source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipped(d.Name()):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		s, err := parseSource(fset, filepath.ToSlash(name), nil)
		if err == nil && !ast.IsGenerated(s.file) {
			sources = append(sources, s)
		}
		return err
	})
	return sources, err
}

// parseSource parses one file; text is nil to read it from disk.
func parseSource(fset *token.FileSet, name string, text []byte) (*source, error) {
	var from any
	if text != nil {
		from = text
	}
	file, err := parser.ParseFile(fset, name, from, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &source{path: name, file: file, fset: fset, lines: fset.File(file.Pos()).LineCount()}, nil
}

// imported returns the name by which file calls the package at importPath, or "" when it does not import it.
func imported(file *ast.File, importPath string) string {
	for _, spec := range file.Imports {
		if p, _ := strconv.Unquote(spec.Path.Value); p == importPath {
			if spec.Name != nil {
				return spec.Name.Name
			}
			return path.Base(importPath)
		}
	}
	return ""
}

// usesOf calls do for every use of one of names of the package at importPath, called or handed on as a value.
func usesOf(root ast.Node, file *ast.File, importPath string, names []string, do func(sel *ast.SelectorExpr)) {
	pkg := imported(file, importPath)
	if pkg == "" {
		return
	}
	ast.Inspect(root, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if id, ok := sel.X.(*ast.Ident); ok && id.Name == pkg {
			for _, name := range names {
				if sel.Sel.Name == name {
					do(sel)
				}
			}
		}
		return true
	})
}
