// Command housecheck holds the rules of this house that no public linter knows. Each rule is one function over parsed
// files; each has fixtures in testdata that break it and fixtures that do not. It must never change a file, and it needs
// no network: what it knows about types comes from the export data that the build cache has anyway.
//
//	tree ─► load ─► *source (syntax) ──────────► rules of one file, rules of one folder ─┐
//	                └─► package proxy (types) ─► rules about gnet.Conn ──────────────────┼─► findings, exit code 1
//	     └─► pages (*.md) ─► links, names of tests ──────────────────────────────────────┘
//
// Run it as scripts/vet.sh does: go run ./scripts/housecheck [FOLDER].
package main

import (
	"cmp"
	"fmt"
	"go/token"
	"os"
	"slices"
)

// A finding is one broken rule at one place.
type finding struct {
	rule string // its name in rules
	pos  token.Position
	text string
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %s (%s)", f.pos.Filename, f.pos.Line, f.text, f.rule)
}

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	if err := os.Chdir(root); err != nil {
		fmt.Fprintln(os.Stderr, "housecheck:", err)
		os.Exit(2)
	}
	found, files, err := checkTree()
	for _, f := range found {
		fmt.Println(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "housecheck:", err)
		os.Exit(2)
	}
	fmt.Printf("house checks: %d rules over %d files, %d findings\n", len(fileRules)+len(folderRules)+len(connRules)+2, files, len(found))
	if len(found) > 0 {
		os.Exit(1)
	}
}

// checkTree runs every rule over the module in the working directory. With an error it returns what was found before it.
func checkTree() (found []finding, files int, err error) {
	fset := token.NewFileSet()
	sources, err := parseTree(fset, ".")
	if err != nil {
		return nil, 0, err
	}
	found, pages, err := checkPages(os.DirFS("."), testsOf(sources))
	if err != nil {
		return nil, 0, err
	}
	found = append(found, checkSyntax(sources)...)
	typed, err := checkProxy(fset, sources, exportData)
	return sorted(append(found, typed...)), len(sources) + pages, err
}

func sorted(found []finding) []finding {
	slices.SortFunc(found, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.pos.Filename, b.pos.Filename), cmp.Compare(a.pos.Line, b.pos.Line), cmp.Compare(a.rule, b.rule))
	})
	return found
}
