package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

const (
	maxLines   = 400
	proxyDir   = "proxy" // the data plane; its sub-folders have no clock and no socket at all
	cmdPackage = "main"

	synctestPath = "testing/synctest"
)

// clockFiles are the files of package proxy that may ask for the time. Everything else there takes the worker's clock,
// which is read once a batch: a call costs no clock reading, and tests turn the clock by hand.
var clockFiles = map[string]string{
	"proxy.go": "where the workers' clock itself is made",
	"log.go":   "the sampler of log lines, off the hot path",
}

var clockNames = []string{"Now", "Since", "Until"}

// vagueNames say nothing about what is in a package; such packages grow without an end.
var vagueNames = []string{"util", "utils", "common", "commons", "helper", "helpers", "type", "types", "misc", "shared"}

var fileRules = map[string]func(*source) []finding{
	"file-length": fileLength,
	"no-init":     noInit,
	"no-sleep":    noSleep,
	"proxy-clock": proxyClock,
}

var folderRules = map[string]func([]*source) []finding{
	"package-comment": packageComment,
	"package-name":    packageName,
}

// checkSyntax runs the rules that need no types.
func checkSyntax(sources []*source) []finding {
	var found []finding
	folders := map[string][]*source{}
	for _, s := range sources {
		folders[s.dir()] = append(folders[s.dir()], s)
		for _, rule := range fileRules {
			found = append(found, rule(s)...)
		}
	}
	for _, in := range folders {
		for _, rule := range folderRules {
			found = append(found, rule(in)...)
		}
	}
	return found
}

// fileLength: a file that does not fit into a reader's head is split by theme. Tests may be long lists of cases.
func fileLength(s *source) []finding {
	if s.test() || s.lines <= maxLines {
		return nil
	}
	return []finding{s.report("file-length", s.file.Package, fmt.Sprintf("%d lines, at most %d: split it by theme", s.lines, maxLines))}
}

// noInit: what runs before main cannot be configured, tested or left out. cmd passes codecs and sources in.
func noInit(s *source) []finding {
	var found []finding
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			found = append(found, s.report("no-init", f.Pos(), "func init: let cmd pass it in"))
		}
	}
	return found
}

// noSleep: a test that sleeps is slow when it passes and wrong when the machine is slow. Inside a synctest bubble time
// is not real, and sleeping is how it moves; a function that calls synctest.Wait can run nowhere else.
func noSleep(s *source) []finding {
	if !s.test() {
		return nil
	}
	var bubbles []ast.Node
	inBubble := func(at token.Pos) bool {
		return slices.ContainsFunc(bubbles, func(b ast.Node) bool { return b.Pos() <= at && at < b.End() })
	}
	usesOf(s.file, s.file, synctestPath, []string{"Test"}, func(sel *ast.SelectorExpr) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && call.Fun == sel {
				bubbles = append(bubbles, call)
			}
			return true
		})
	})
	for _, d := range s.file.Decls {
		usesOf(d, s.file, synctestPath, []string{"Wait"}, func(sel *ast.SelectorExpr) {
			if !inBubble(sel.Pos()) {
				bubbles = append(bubbles, d)
			}
		})
	}
	var found []finding
	usesOf(s.file, s.file, "time", []string{"Sleep"}, func(sel *ast.SelectorExpr) {
		if !inBubble(sel.Pos()) {
			found = append(found, s.report("no-sleep", sel.Pos(), "time.Sleep in a test: wait for the event itself, or use testing/synctest"))
		}
	})
	return found
}

// proxyClock: on the hot path the time is w.now, read once a batch.
func proxyClock(s *source) []finding {
	if !s.inBody() {
		return nil
	}
	var found []finding
	usesOf(s.file, s.file, "time", clockNames, func(sel *ast.SelectorExpr) {
		if _, ok := clockFiles[path.Base(s.path)]; !ok {
			found = append(found, s.report("proxy-clock", sel.Pos(), "time."+sel.Sel.Name+" in the data plane: take the worker's clock (clockFiles lists the exceptions)"))
		}
	})
	return found
}

// packageComment: a package says at its top what it does and what it must never do.
func packageComment(in []*source) []finding {
	var first *source
	for _, s := range in {
		if s.test() {
			continue
		}
		if first == nil {
			first = s
		}
		want := "Package " + s.file.Name.Name + " "
		if s.file.Name.Name == cmdPackage {
			want = "Command "
		}
		if s.file.Doc != nil && strings.HasPrefix(s.file.Doc.Text(), want) {
			return nil
		}
	}
	if first == nil { // a folder of tests only
		return nil
	}
	return []finding{first.report("package-comment", first.file.Package, "no file of package "+first.file.Name.Name+" has a package comment (`// Package NAME …`, `// Command NAME …`)")}
}

// packageName: a package is named after what it gives.
func packageName(in []*source) []finding {
	s := in[0]
	for _, name := range []string{strings.TrimSuffix(s.file.Name.Name, "_test"), path.Base(s.dir())} {
		if slices.Contains(vagueNames, name) {
			return []finding{s.report("package-name", token.Pos(s.file.Package), "package "+name+": name it after what it gives")}
		}
	}
	return nil
}
