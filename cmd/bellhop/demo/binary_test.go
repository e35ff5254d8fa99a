package demo

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// buildBellhop compiles the binary that a person runs.
func buildBellhop(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("it builds and runs the whole program for seconds")
	}
	exe := filepath.Join(t.TempDir(), "bellhop")
	if out, err := exec.Command("go", "build", "-o", exe, "github.com/bellhop-mesh/bellhop/cmd/bellhop").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return exe
}

// left fails the test when a demo has left files behind: it removes them when all its processes have ended.
func left(t *testing.T, dir string) {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Errorf("the demo left %s behind", f.Name())
	}
}

func TestDemo(t *testing.T) {
	exe, tmp := buildBellhop(t), t.TempDir()
	cmd := exec.Command(exe, "demo", "--for", "4s", "--json")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, &stderr, &stdout)
	}
	left(t, tmp)
	var s summary
	dec := json.NewDecoder(&stdout)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		t.Fatal(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		t.Errorf("after the object came more: %v", err)
	}
	if s.Calls == 0 || s.Failed != 0 || s.Local.Calls == 0 || s.Remote.Calls == 0 || s.HandOff.Handed == 0 || s.HandOff.Straight == 0 {
		t.Errorf("%+v", s)
	}
	if s.KilledAt < 2 || s.RestartedAt < s.KilledAt || s.Seconds < 4 {
		t.Errorf("killed at %v s, restarted at %v s, ended at %v s; want 2 s, later, 4 s", s.KilledAt, s.RestartedAt, s.Seconds)
	}
	want := map[string]bool{"Go demo.Greeter": true, "Go demo.Faraway": true, "OSP demo.Orders": true}
	if _, err := findPython(t.Context(), pythons); err == nil {
		want["Python demo.Greeter"] = true
	} else if len(s.Skipped) != 1 || s.Skipped[0] != err.Error() {
		t.Errorf("skipped is %q, want %q", s.Skipped, err)
	}
	for _, o := range s.Callers {
		name := o.Caller + " " + o.Service
		if !want[name] || o.Local.Calls == 0 || o.Remote.Calls == 0 || o.Local.P50 <= 0 || o.Remote.P99 < o.Remote.P50 {
			t.Errorf("%+v", o)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("callers that are missing: %v", want)
	}
}

func TestSignalEndsEverything(t *testing.T) {
	exe, tmp := buildBellhop(t), t.TempDir()
	cmd := exec.Command(exe, "demo", "--for", "1h")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }).Stop()
	// The whole of it runs when the first line of the table is there.
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), " s  "+serving) {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%v, want exit status 1\n%s%s", err, &said, &stderr)
	}
	if !strings.Contains(stderr.String(), "interrupted after") || !strings.Contains(said.String(), "summary after") {
		t.Errorf("it did not say that it was interrupted, or what it had seen\n%s%s", &said, &stderr)
	}
	left(t, tmp)
}
