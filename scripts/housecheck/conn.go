package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// The rules of this file are about one type, gnet.Conn, in one package, proxy. They need types: `c.Close()` is right for
// a net.Conn that was never enrolled and wrong for a gnet.Conn. An interface that is declared in package proxy and that
// gnet.Conn satisfies counts as a gnet.Conn: it is there to put a fake in its place.
const (
	gnetPath   = "github.com/panjf2000/gnet/v2"
	modulePath = "github.com/bellhop-mesh/bellhop"
)

var connRules = map[string]func(method string, flushing bool) string{
	"proxy-conn-close": connClose,
	"proxy-conn-write": connWrite,
}

// connClose: Conn.Close only queues the close. A Dup made in the same turn (detach) then takes bytes that the queued close
// has not left behind yet: they are lost. EventLoop().Close(c) closes now.
func connClose(method string, _ bool) string {
	if method == "Close" || method == "CloseWithCallback" {
		return "a queued " + method + " on a gnet.Conn loses bytes beside Dup: use its EventLoop().Close"
	}
	return ""
}

// connWrite: a write can re-enter OnClose, so nothing is written while decoding or iterating: flush writes, once a batch,
// itself or through a function that nobody else uses.
func connWrite(method string, flushing bool) string {
	switch method {
	case "Write", "Writev", "AsyncWrite", "AsyncWritev", "ReadFrom", "SendTo", "Flush":
		if !flushing {
			return method + " on a gnet.Conn outside flush and what only flush uses"
		}
	}
	return ""
}

// checkProxy type-checks package proxy and runs connRules over its calls. A package that is not there has no findings;
// one that does not compile is an error, not a pass.
func checkProxy(fset *token.FileSet, sources []*source, imports func(*token.FileSet) (types.Importer, error)) ([]finding, error) {
	var body []*source
	var files []*ast.File
	for _, s := range sources {
		if s.inBody() {
			body, files = append(body, s), append(files, s.file)
		}
	}
	if len(body) == 0 {
		return nil, nil
	}
	imp, err := imports(fset)
	if err != nil {
		return nil, err
	}
	info := &types.Info{
		Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
		Selections: map[*ast.SelectorExpr]*types.Selection{},
	}
	conf := types.Config{Importer: imp}
	pkg, err := conf.Check(modulePath+"/"+proxyDir, fset, files, info)
	if err != nil {
		return nil, fmt.Errorf("package proxy does not compile, so it cannot be checked: %w", err)
	}
	conn := gnetConn(pkg)
	if conn == nil { // no gnet in it: nothing to break
		return nil, nil
	}
	flushes := flushers(files, info)
	var found []finding
	for _, s := range body {
		found = append(found, connCalls(s, info, conn, flushes)...)
	}
	return found, nil
}

// flushers returns the functions whose names begin with flush, and those that are used by flushers only.
func flushers(files []*ast.File, info *types.Info) map[types.Object]bool {
	users := map[types.Object][]types.Object{} // of a function; nil stands for a declaration that is not a function
	flushes := map[types.Object]bool{}
	for _, file := range files {
		for _, d := range file.Decls {
			var user types.Object
			if f, ok := d.(*ast.FuncDecl); ok {
				user = info.Defs[f.Name]
				flushes[user] = strings.HasPrefix(f.Name.Name, "flush")
			}
			ast.Inspect(d, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					if used, ok := info.Uses[id].(*types.Func); ok {
						users[used] = append(users[used], user)
					}
				}
				return true
			})
		}
	}
	for more := true; more; {
		more = false
		for used, by := range users {
			outside := func(user types.Object) bool { return !flushes[user] }
			if _, ours := flushes[used]; ours && !flushes[used] && !slices.ContainsFunc(by, outside) {
				flushes[used], more = true, true
			}
		}
	}
	return flushes
}

// gnetConn finds the type gnet.Conn among what pkg imports.
func gnetConn(pkg *types.Package) *types.Named {
	for _, p := range pkg.Imports() {
		if p.Path() == gnetPath {
			named, _ := p.Scope().Lookup("Conn").Type().(*types.Named)
			return named
		}
	}
	return nil
}

// connCalls runs connRules over the methods of gnet.Conn that s calls or hands on as values.
func connCalls(s *source, info *types.Info, conn *types.Named, flushes map[types.Object]bool) []finding {
	var found []finding
	for _, d := range s.file.Decls {
		f, _ := d.(*ast.FuncDecl)
		flushing := f != nil && flushes[info.Defs[f.Name]]
		ast.Inspect(d, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			chosen := info.Selections[sel]
			if chosen == nil || chosen.Kind() == types.FieldVal || !throughConn(chosen, conn) {
				return true
			}
			for rule, broken := range connRules {
				if text := broken(sel.Sel.Name, flushing); text != "" {
					found = append(found, s.report(rule, sel.Sel.Pos(), text))
				}
			}
			return true
		})
	}
	return found
}

// throughConn tells whether a selected method belongs to a gnet.Conn: directly, or promoted from an embedded one.
func throughConn(chosen *types.Selection, conn *types.Named) bool {
	t := chosen.Recv()
	path := chosen.Index()
	for {
		if isConn(t, conn) {
			return true
		}
		if p, ok := t.Underlying().(*types.Pointer); ok {
			t = p.Elem()
		}
		st, ok := t.Underlying().(*types.Struct)
		if !ok || len(path) < 2 {
			return false
		}
		t, path = st.Field(path[0]).Type(), path[1:]
	}
}

func isConn(t types.Type, conn *types.Named) bool {
	if types.Identical(t, conn) {
		return true
	}
	named, ok := t.(*types.Named)
	if !ok || named.Obj().Pkg() == nil || named.Obj().Pkg().Path() != modulePath+"/"+proxyDir {
		return false
	}
	iface, ok := named.Underlying().(*types.Interface)
	return ok && iface.NumMethods() > 0 && types.Implements(conn, iface)
}

// exportData imports what package proxy needs from the build cache; it builds what is not there yet.
func exportData(fset *token.FileSet) (types.Importer, error) {
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export", "./"+proxyDir)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("package proxy does not compile, so it cannot be checked: %w\n%s", err, problems.String())
	}
	exports := map[string]string{}
	for dec := json.NewDecoder(&out); ; {
		var p struct{ ImportPath, Export string }
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		exports[p.ImportPath] = p.Export
	}
	return importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	}), nil
}
