package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// counts says how many imports were tried.
type counts struct{ allowed, forbidden int }

// check compares what the linter finds with what the table says.
//
// Two packages that import each other do not compile, so there are two modules: in one every package imports those after
// it in the table, in the other those before it.
func check(lint string) (problems []string, n counts, err error) {
	if problems, err = unlisted(); err != nil {
		return nil, n, err
	}
	if lint, err = filepath.Abs(lint); err != nil {
		return nil, n, err
	}
	dir, err := os.MkdirTemp("", "depcheck")
	if err != nil {
		return nil, n, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for _, upwards := range []bool{false, true} {
		root := filepath.Join(dir, fmt.Sprintf("upwards-%t", upwards))
		want, err := write(root, upwards)
		if err != nil {
			return nil, n, err
		}
		found, err := run(lint, root)
		if err != nil {
			return nil, n, err
		}
		for file, imp := range want {
			switch {
			case imp.forbidden && !found[file]:
				problems = append(problems, imp.text+" is forbidden, and .golangci.yml lets it pass")
			case !imp.forbidden && found[file]:
				problems = append(problems, imp.text+" is allowed, and .golangci.yml forbids it")
			case imp.forbidden:
				n.forbidden++
			default:
				n.allowed++
			}
		}
	}
	return problems, n, nil
}

// An attempt is one import in one file of a throw-away module.
type attempt struct {
	text      string
	forbidden bool
}

// write lays out one throw-away module and returns its attempts by file.
func write(root string, upwards bool) (map[string]attempt, error) {
	config, err := os.ReadFile(".golangci.yml")
	if err != nil {
		return nil, err
	}
	tree := map[string]string{".golangci.yml": string(config)}
	gomod := "module " + module + "\n\ngo 1.26.0\n"
	for _, l := range libraries {
		version := "v0.0.0"
		if path.Base(l.path) == "v2" {
			version = "v2.0.0"
		}
		gomod += fmt.Sprintf("\nrequire %s %s\nreplace %s => ./stub/%s\n", l.path, version, l.path, l.path)
		tree["stub/"+l.path+"/go.mod"] = "module " + l.path + "\n"
		tree["stub/"+l.path+"/lib.go"] = "package lib\n"
	}
	tree["go.mod"] = gomod
	attempts := map[string]attempt{}
	for i, from := range table {
		name := packageName(from)
		tree[from.path+"/doc.go"] = "package " + name + "\n"
		try := func(target, to, pkg string, test bool) {
			file := from.path + "/to_" + strings.NewReplacer("/", "_", ".", "_").Replace(target)
			text := from.path + " → " + target
			if test {
				file, text = file+"_test", "a test of "+text
			}
			tree[file+".go"] = fmt.Sprintf("package %s\n\nimport _ %q\n", pkg, to)
			attempts[file+".go"] = attempt{text, !may(from, target, test)}
		}
		for j, to := range table {
			if j != i && (j < i) == upwards && packageName(to) != "main" {
				try(to.path, module+"/"+to.path, name, false)
				try(to.path, module+"/"+to.path, name+"_test", true)
			}
		}
		for _, l := range libraries {
			if upwards { // once is enough
				try(l.path, l.path, name, false)
				try(l.path, l.path, name+"_test", true)
			}
		}
	}
	for file, text := range tree {
		file = filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return attempts, nil
}

func packageName(r row) string {
	if strings.HasPrefix(r.path, "cmd/") || strings.HasPrefix(r.path, "scripts/") {
		return "main"
	}
	return path.Base(r.path)
}

// run returns the files below root in which depguard found something. Any other finding means that the module is wrong.
func run(lint, root string) (map[string]bool, error) {
	cmd := exec.Command(lint, "run", "--enable-only", "depguard", "--max-issues-per-linter", "0", "--max-same-issues", "0",
		"--allow-parallel-runners", "--issues-exit-code", "0", "--output.json.path", "stdout", "--show-stats=false", "./...")
	cmd.Dir = root
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", lint, err, problems.String())
	}
	var report struct {
		Issues []struct {
			FromLinter, Text string
			Pos              struct{ Filename string }
		}
	}
	if err := json.NewDecoder(&out).Decode(&report); err != nil {
		return nil, fmt.Errorf("the linter's report: %w\n%s", err, problems.String())
	}
	found := map[string]bool{}
	for _, issue := range report.Issues {
		if issue.FromLinter != "depguard" {
			return nil, fmt.Errorf("%s: %s: %s", issue.FromLinter, issue.Pos.Filename, issue.Text)
		}
		found[filepath.ToSlash(issue.Pos.Filename)] = true
	}
	return found, nil
}
