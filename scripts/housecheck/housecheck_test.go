package main

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// A fixture is a small tree and, in its file `want`, the findings it must give: `path:line rule`, nothing more or less.
// The file gnet.go of a fixture stands for gnet itself.

func TestFixtures(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			tree, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want, got := fixture(t, tree)
			if !slices.Equal(got, want) {
				t.Errorf("found:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// A rule that no fixture breaks might be one that cannot find anything.
func TestEveryRuleHasAFixtureThatBreaksIt(t *testing.T) {
	names, _ := filepath.Glob("testdata/*.txtar")
	var all strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	rules := slices.Concat(slices.Collect(maps.Keys(fileRules)), slices.Collect(maps.Keys(folderRules)), slices.Collect(maps.Keys(connRules)))
	for _, rule := range rules {
		if rule == "file-length" { // its fixture is TestFileLength: 401 lines are not worth a file
			continue
		}
		if !strings.Contains(all.String(), " "+rule+"\n") {
			t.Errorf("no fixture in testdata breaks the rule %s", rule)
		}
	}
}

func TestFileLength(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines int
		found int
	}{{"a.go", maxLines, 0}, {"a.go", maxLines + 1, 1}, {"a_test.go", maxLines + 1, 0}} {
		text := "// Package a is long.\npackage a\n" + strings.Repeat("//\n", c.lines-3) + "//"
		s, err := parseSource(token.NewFileSet(), "a/"+c.name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := checkSyntax([]*source{s}); len(got) != c.found {
			t.Errorf("%s with %d lines: %v, want %d findings", c.name, c.lines, got, c.found)
		}
	}
}

func TestAPackageThatDoesNotCompileIsAnErrorNotAPass(t *testing.T) {
	fset := token.NewFileSet()
	s, err := parseSource(fset, "proxy/a.go", []byte("// Package proxy is broken.\npackage proxy\n\nvar a = b\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = checkProxy(fset, []*source{s}, func(*token.FileSet) (types.Importer, error) { return importer.Default(), nil })
	if err == nil || !strings.Contains(err.Error(), "undefined: b") {
		t.Errorf("error %v, want one that names the undefined b", err)
	}
}

// An entry of clockFiles that is not used any more would let a clock come back unseen.
func TestClockFilesAreThoseThatReadTheClock(t *testing.T) {
	for name, why := range clockFiles {
		s, err := parseSource(token.NewFileSet(), "../../proxy/"+name, nil)
		if err != nil {
			t.Errorf("clockFiles: %v", err)
			continue
		}
		uses := 0
		count := func(*ast.SelectorExpr) { uses++ }
		usesOf(s.file, s.file, "time", clockNames, count)
		if uses == 0 || why == "" {
			t.Errorf("clockFiles: %s reads the clock %d times, reason %q: take it out or say why", name, uses, why)
		}
	}
}

func fixture(t *testing.T, tree *txtar.Archive) (want, got []string) {
	t.Helper()
	fset := token.NewFileSet()
	var sources []*source
	imports := &fixtureImporter{std: importer.Default()}
	for _, f := range tree.Files {
		if f.Name == "want" {
			want = strings.Split(strings.Trim(string(f.Data), "\n"), "\n")
			want = slices.DeleteFunc(want, func(line string) bool { return line == "" })
			continue
		}
		s, err := parseSource(fset, f.Name, f.Data)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name == "gnet.go" {
			imports.gnet = s
			continue
		}
		sources = append(sources, s)
	}
	found := checkSyntax(sources)
	typed, err := checkProxy(fset, sources, func(*token.FileSet) (types.Importer, error) { return imports, nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range sorted(append(found, typed...)) {
		got = append(got, fmt.Sprintf("%s:%d %s", f.pos.Filename, f.pos.Line, f.rule))
	}
	return want, got
}

// fixtureImporter gives a fixture's gnet.go for gnet, and Go's own packages for everything else.
type fixtureImporter struct {
	std  types.Importer
	gnet *source
	done *types.Package
}

func (f *fixtureImporter) Import(path string) (*types.Package, error) {
	if path != gnetPath || f.gnet == nil {
		return f.std.Import(path)
	}
	if f.done == nil {
		conf := types.Config{Importer: f.std}
		pkg, err := conf.Check(gnetPath, f.gnet.fset, []*ast.File{f.gnet.file}, nil)
		if err != nil {
			return nil, err
		}
		f.done = pkg
	}
	return f.done, nil
}
