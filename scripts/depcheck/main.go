// Command depcheck proves that .golangci.yml holds the import table of docs/architecture.md, so that a rule that matches
// nothing any more cannot pass for a clean tree. It writes a throw-away module with the packages of this one, lets each
// import every other and each library that one package alone may have, runs the linter with this repository's
// configuration over it and compares: what the table forbids must be found, what it allows must not. It must never
// touch the checkout itself.
//
//	table ─► module of imports (in a temporary folder) ─► golangci-lint, depguard only ─► findings ─► as the table says?
//	checkout ─► its packages ─► is each in the table?
//
// Run it as `make lint` does: go run ./scripts/depcheck -lint .cache/bin/golangci-lint
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

const module = "github.com/bellhop-mesh/bellhop"

// A row is one package of the table.
type row struct {
	path string
	ours []string // what it may import of ours; all: everything
}

// all marks the packages that wire the others together.
var all = []string{"*"}

// table is the one of docs/architecture.md, written down a second time on purpose: a slip in one of the two shows.
// protocol/codectest is the conformance suite that the codecs' tests call; protocol/osp/osppeer is a real peer for the demo,
// for tests and for benchmarks (docs/adr/0001).
var table = []row{
	{"protocol", nil},
	{"protocol/thrift", []string{"protocol"}},
	{"protocol/osp", []string{"protocol"}},
	{"protocol/codectest", []string{"protocol"}},
	{"protocol/osp/osppeer", []string{"protocol"}},
	{"registry", nil},
	{"registry/strict", []string{"registry"}},
	{"registry/file", []string{"registry", "registry/strict"}},
	{"registry/zookeeper", []string{"registry", "registry/strict"}},
	{"registry/kubernetes", []string{"registry", "registry/strict"}},
	{"proxy/govern", nil},
	{"proxy/fair", nil},
	{"proxy/pressure", nil},
	{"proxy/cluster", []string{"registry", "protocol", "proxy/govern"}},
	{"proxy/route", []string{"proxy/cluster", "registry", "protocol"}},
	{"proxy/rules", []string{"registry", "registry/strict", "protocol", "proxy/govern"}},
	{"remote", []string{"protocol", "registry"}},
	{"proxy", []string{"proxy/route", "proxy/cluster", "proxy/govern", "proxy/fair", "proxy/pressure", "remote", "protocol"}},
	{"daemonset", []string{"daemonset/addrfile", "daemonset/rundir", "daemonset/identity"}},
	{"daemonset/addrfile", nil},
	{"daemonset/rundir", nil},
	{"daemonset/identity", nil},
	{"client", []string{"daemonset/addrfile"}},
	{"client/python", nil},
	{"cmd/bellhop", all},
	{"cmd/thriftperf", all},
	{"scripts/example", all},
}

// A library is code of others that only some packages may import.
type library struct {
	path  string
	only  []string // packages; a trailing /… means everything below
	tests bool     // every test may import it too
}

var libraries = []library{
	{"github.com/panjf2000/gnet/v2", []string{"proxy"}, false},
	{"github.com/apache/thrift", []string{"protocol/thrift", "protocol/osp", "protocol/codectest", "protocol/osp/osppeer", "client", "cmd/…", "scripts/…"}, true},
	{"github.com/go-zookeeper/zk", []string{"registry/zookeeper", "scripts/…"}, true},
	{"k8s.io/client-go", []string{"registry/kubernetes"}, false},
}

// may tells whether package from may import to, in a test or not.
func may(from row, to string, test bool) bool {
	for _, l := range libraries {
		if l.path != to {
			continue
		}
		return test && l.tests || slices.ContainsFunc(l.only, func(p string) bool {
			below, ok := strings.CutSuffix(p, "…")
			return p == from.path || ok && strings.HasPrefix(from.path, below)
		})
	}
	return test || slices.Contains(from.ours, to) || slices.Equal(from.ours, all)
}

func main() {
	lint := flag.String("lint", ".cache/bin/golangci-lint", "the linter's `file`")
	flag.Parse()
	problems, pairs, err := check(*lint)
	if err != nil {
		fmt.Fprintln(os.Stderr, "depcheck:", err)
		os.Exit(2)
	}
	for _, p := range problems {
		fmt.Println("import table:", p)
	}
	fmt.Printf("import table: %d packages, %d imports allowed, %d forbidden and found, %d problems\n",
		len(table), pairs.allowed, pairs.forbidden, len(problems))
	if len(problems) > 0 {
		os.Exit(1)
	}
}

// unlisted returns the packages of the checkout that the table does not know: nothing would hold them.
func unlisted() ([]string, error) {
	out, err := exec.Command("go", "list", "-e", "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var unknown []string
	for _, path := range strings.Fields(string(out)) {
		path = strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
		wires := strings.HasPrefix(path, "cmd/") || strings.HasPrefix(path, "scripts/")
		if !wires && !slices.ContainsFunc(table, func(r row) bool { return r.path == path }) {
			unknown = append(unknown, "package "+path+" is not in it: give it a row in docs/architecture.md, .golangci.yml and scripts/depcheck")
		}
	}
	return unknown, nil
}
