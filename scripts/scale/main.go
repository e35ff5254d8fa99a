// Command scale tells what an ensemble of ZooKeeper servers and an API server of Kubernetes have to bear for many hosts:
// docs/scale.md. Its inputs are what it measured here with real servers (measured.json) and a plan (plan.go); with the same
// inputs it prints the same. It must never be taken for a measurement of thousands of hosts: there are none here.
//
//	-measure FILE ─► three real servers ─► measured.json ─┐
//	                                  plan.go, fixed seed ─┴► simulation ─► tables ─► docs/scale.md (-check compares)
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	file := flag.String("measure", "", "measure with three real ZooKeeper servers, about a minute, and write the result to this `file`")
	page := flag.String("check", "", "compare the tables of this `page` with what is printed")
	flag.Parse()
	if err := run(*file, *page); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(file, page string) error {
	if file != "" {
		return measure(file)
	}
	m, err := load()
	if err != nil {
		return err
	}
	printed := tables(m, thePlan)
	if page != "" {
		return compare(page, printed)
	}
	_, err = os.Stdout.WriteString(printed)
	return err
}

const (
	begins = "<!-- as printed by go run ./scripts/scale -->\n"
	ends   = "<!-- until here -->\n"
)

// compare tells whether a page has the tables as they are printed.
func compare(page, printed string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	_, rest, found := strings.Cut(string(text), begins)
	has, _, closed := strings.Cut(rest, ends)
	if !found || !closed {
		return fmt.Errorf("%s has no part between %q and %q", page, begins, ends)
	}
	is, want := strings.Split(has, "\n"), strings.Split(printed, "\n")
	for i := range max(len(is), len(want)) {
		if i >= len(is) || i >= len(want) || is[i] != want[i] {
			return fmt.Errorf("%s: line %d of the printed part is not as `go run ./scripts/scale` prints it", page, i+1)
		}
	}
	return nil
}
