package demo

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

//go:embed caller.py
var callerScript string

// pythonCaller is the Python caller's process. callerScript says what it prints.
type pythonCaller struct {
	*child
	heard chan struct{} // closed when all of its lines were read
}

// batch is one line of the caller's.
type batch struct {
	Local  []int64  `json:"local"`  // microseconds
	Remote []int64  `json:"remote"` // microseconds
	Failed []string `json:"failed"`
	Gap    int64    `json:"gap"` // microseconds
}

// noPythonError says that the demo goes on without the Python caller, and what to do about it.
type noPythonError struct{ why string }

func (e *noPythonError) Error() string {
	return "no Python caller: " + e.why + "; get it with scripts/setup.sh demo (Debian: apt-get install python3 python3-thrift)"
}

// pythons are where one is looked for. Debian's packages belong to the first, which need not be the first one in PATH.
var pythons = []string{"/usr/bin/python3", "python3"}

// findPython returns the first of names that has Apache Thrift.
func findPython(ctx context.Context, names []string) (string, error) {
	var why string
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, startPatience)
		err = exec.CommandContext(ctx, path, "-c", "import thrift.Thrift").Run()
		cancel()
		if err == nil {
			return path, nil
		}
		if why == "" {
			why = path + " has no module thrift"
		}
	}
	if why == "" {
		why = "there is no python3"
	}
	return "", &noPythonError{why}
}

// startPython starts the caller, ready to call. The error is a *noPythonError when it can't be had on this machine.
func (s *stage) startPython(ctx context.Context) (*pythonCaller, error) {
	exe, err := findPython(ctx, pythons)
	if err != nil {
		return nil, err
	}
	env := []string{"BELLHOP_ADDRESS_FILE=" + s.addressFile(), "BELLHOP_PROXY=", "PYTHONDONTWRITEBYTECODE=1"}
	c, err := s.start("python", env, exe, s.path("python/caller.py"))
	if err != nil {
		return nil, err
	}
	if said, err := c.line(startPatience); err != nil || !strings.Contains(said, "ready") {
		return nil, errors.Join(err, fmt.Errorf("the Python caller said %q", said))
	}
	return &pythonCaller{child: c, heard: make(chan struct{})}, nil
}

// call has the process call, and reads what it says until it ends.
func (p *pythonCaller) call(rec *record) error {
	if _, err := p.in.Write([]byte("go\n")); err != nil {
		return fmt.Errorf("python: %w", err)
	}
	go func() {
		defer close(p.heard)
		lines := bufio.NewScanner(p.out)
		lines.Buffer(nil, 1<<20) // a line is a quarter of a second
		for lines.Scan() {
			var b batch
			if err := json.Unmarshal(lines.Bytes(), &b); err != nil {
				rec.lost(fmt.Errorf("python: %q is not what it should say: %w", lines.Text(), err))
				return
			}
			rec.batch(b, time.Now())
		}
		if err := lines.Err(); err != nil {
			rec.lost(fmt.Errorf("python: %w", err))
		}
	}()
	return nil
}

// stop has it make its last call and say its last line.
func (p *pythonCaller) stop() {
	p.end(nil)
	select {
	case <-p.heard:
	case <-time.After(2 * time.Second):
	}
}
