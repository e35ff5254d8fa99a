package main

import (
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestPagesFixture: the file `want` of testdata/pages.tree says what is wrong with its pages, nothing more or less.
func TestPagesFixture(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/pages.tree")
	if err != nil {
		t.Fatal(err)
	}
	tree := fstest.MapFS{}
	for _, f := range archive.Files {
		tree[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	want := tree["want"].Data
	found, pages, err := checkPages(tree, map[string]bool{"TestThere": true})
	if err != nil || pages != 3 {
		t.Fatalf("%d pages, %v; want 3", pages, err)
	}
	var got []string
	for _, f := range sorted(found) {
		got = append(got, f.String())
	}
	if w := strings.Split(strings.TrimSpace(string(want)), "\n"); !slices.Equal(got, w) {
		t.Errorf("found:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(w, "\n"))
	}
}

// TestPagesOfThisRepository: a reader of any page gets to where its links say, and finds the tests that it names.
func TestPagesOfThisRepository(t *testing.T) {
	t.Chdir("../..")
	sources, err := parseTree(token.NewFileSet(), ".")
	if err != nil {
		t.Fatal(err)
	}
	found, pages, err := checkPages(os.DirFS("."), testsOf(sources))
	if err != nil || pages < 5 {
		t.Fatalf("%d pages, %v", pages, err)
	}
	for _, f := range found {
		t.Error(f)
	}
}
