package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// The rules about pages. A relative link leads to a file of this tree and, with a #, to a heading of that page; links
// with a scheme are somebody else's to keep. A test that a page names in code letters is there.
const (
	linkRule = "doc-links"
	testRule = "doc-tests"
)

var (
	// [text](target), [text](target "title"), ![alt](target)
	inlineLink = regexp.MustCompile(`\]\(\s*<?([^)>\s]*)>?[^)]*\)`)
	// [name]: target
	referenceLink = regexp.MustCompile(`^\s{0,3}\[[^\]]+\]:\s*<?([^>\s]+)`)
	htmlLink      = regexp.MustCompile(`\b(?:src|href|srcset)="([^"]*)"`)
	codeSpan      = regexp.MustCompile("`[^`]*`")
	scheme        = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9+.-]*:`)
	heading       = regexp.MustCompile(`^#{1,6}\s+(.*?)\s*#*\s*$`)
	testName      = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)`")
)

// checkPages reads every page of a tree that people wrote, and says which links lead nowhere, which tests that it names are
// not among tests, and how many pages it read.
func checkPages(tree fs.FS, tests map[string]bool) (found []finding, pages int, err error) {
	err = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipped(d.Name()):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".md":
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		pages++
		for line, prose := range proseOf(string(text)) {
			for _, m := range testName.FindAllStringSubmatch(prose, -1) {
				if !tests[m[1]] {
					found = append(found, finding{testRule, token.Position{Filename: name, Line: line + 1}, "there is no " + m[1]})
				}
			}
		}
		for line, targets := range linksOf(string(text)) {
			for _, t := range targets {
				if why := follow(tree, name, t); why != "" {
					found = append(found, finding{linkRule, token.Position{Filename: name, Line: line + 1}, "link " + t + ": " + why})
				}
			}
		}
		return nil
	})
	return found, pages, err
}

// linksOf returns the targets in each line of a page. Code has none.
func linksOf(text string) [][]string {
	lines := proseOf(text)
	out := make([][]string, len(lines))
	for i, line := range lines {
		line = codeSpan.ReplaceAllString(line, "`")
		for _, re := range []*regexp.Regexp{inlineLink, referenceLink, htmlLink} {
			for _, m := range re.FindAllStringSubmatch(line, -1) {
				out[i] = append(out[i], m[1])
			}
		}
	}
	return out
}

// proseOf returns a page's lines, those in fenced blocks emptied.
func proseOf(text string) []string {
	lines, fence := strings.Split(text, "\n"), ""
	for i, line := range lines {
		trimmed := strings.TrimSpace(line)
		switch {
		case fence != "":
			if strings.HasPrefix(trimmed, fence) {
				fence = ""
			}
			lines[i] = ""
		case strings.HasPrefix(trimmed, "```"), strings.HasPrefix(trimmed, "~~~"):
			fence = trimmed[:3]
			lines[i] = ""
		}
	}
	return lines
}

// follow says why a link of the page name leads nowhere; "" when it leads somewhere.
func follow(tree fs.FS, name, target string) string {
	if scheme.MatchString(target) || strings.HasPrefix(target, "//") {
		return ""
	}
	file, anchor, anchored := strings.Cut(target, "#")
	if strings.HasPrefix(file, "/") {
		return "write it relative to its own page"
	}
	to := name
	if file != "" {
		to = path.Join(path.Dir(name), file)
	}
	if !fs.ValidPath(to) {
		return "it leaves the repository"
	}
	if _, err := fs.Stat(tree, to); err != nil {
		return "there is no " + to
	}
	if !anchored || path.Ext(to) != ".md" {
		return ""
	}
	text, err := fs.ReadFile(tree, to)
	if err != nil {
		return err.Error()
	}
	if !anchorsOf(string(text))[anchor] {
		return fmt.Sprintf("%s has no heading #%s", to, anchor)
	}
	return ""
}

// anchorsOf returns the anchors of a page's headings as GitHub makes them: lower case, blanks to hyphens, everything but
// letters, digits, hyphens and underscores left out, a number behind what was there already.
func anchorsOf(text string) map[string]bool {
	anchors := map[string]bool{}
	for _, line := range proseOf(text) {
		m := heading.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])
		name := slug
		for n := 1; anchors[name]; n++ {
			name = slug + "-" + strconv.Itoa(n)
		}
		anchors[name] = true
	}
	return anchors
}

// testsOf returns the names of the tests, fuzz targets and benchmarks of a tree.
func testsOf(sources []*source) map[string]bool {
	tests := map[string]bool{}
	for _, s := range sources {
		if !s.test() {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				tests[f.Name.Name] = true
			}
		}
	}
	return tests
}
