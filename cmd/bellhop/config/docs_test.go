package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table of docs/configuration.md and the .want files")

const (
	docsPath  = "../../../docs/configuration.md"
	docsBegin = "<!-- keys: go test ./cmd/bellhop/config -update -->\n"
	docsEnd   = "<!-- end of keys -->\n"
)

// TestDocumented: the page has exactly the keys of the struct, with their types, defaults and meanings.
func TestDocumented(t *testing.T) {
	b, err := os.ReadFile(docsPath)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	before, rest, ok := strings.Cut(page, docsBegin)
	_, after, ok2 := strings.Cut(rest, docsEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no table between %q and %q", docsPath, docsBegin, docsEnd)
	}
	t.Setenv(RunDirEnv, "")
	want := before + docsBegin + keyTable() + docsEnd + after
	if *update {
		if err := os.WriteFile(docsPath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if page == want {
		return
	}
	have := strings.Split(page, "\n")
	for i, l := range strings.Split(want, "\n") {
		if i >= len(have) || have[i] != l {
			t.Fatalf("%s:%d differs from the struct; run go test ./cmd/bellhop/config -update\nwant %s", docsPath, i+1, l)
		}
	}
	t.Fatalf("%s has lines that the struct has not; run go test ./cmd/bellhop/config -update", docsPath)
}

// keyTable is a table for each section of the file.
func keyTable() string {
	var b strings.Builder
	section := "?"
	for _, k := range Keys() {
		head, _, nested := strings.Cut(k.Path, ".")
		head = strings.TrimSuffix(head, "[]")
		if !nested && head != "listeners" && head != "register" {
			head = ""
		}
		if head != section {
			section = head
			title := "### `" + head + "`"
			if head == "" {
				title = "### At the top"
			}
			fmt.Fprintf(&b, "\n%s\n\n| key | type | default | meaning |\n|---|---|---|---|\n", title)
		}
		def := k.Default
		if def != "none" && def != "see below" {
			def = "`" + def + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Path, k.Type, def, k.Help)
	}
	return b.String() + "\n"
}
