package interop

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Bounds of what is waited for.
const (
	readyTimeout = 30 * time.Second // a server process says that it accepts
	leaveTimeout = 3 * time.Second  // a process ends after its stdin did
)

// Target is one server: a framing of one language at an address.
type Target struct {
	Lang, Framing, Addr string
}

// Service is the name under which the target is registered.
func (t Target) Service() string { return "interop." + t.Lang + "." + t.Framing }

// process is a child whose end is its stdin's end.
type process struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	out    *os.File // what stdout reads
	stdout *bufio.Scanner
	stderr tail
	exited chan struct{} // closed after Wait
	err    error         // of Wait; read after exited
}

// start runs a program. The caller must stop it.
func start(name string, argv ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(argv[0], argv[1:]...), exited: make(chan struct{})}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = in, &p.stderr
	p.out, p.stdout = out, bufio.NewScanner(out)
	p.stdout.Buffer(nil, 1<<20) // a peer may say at length what differs
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, errors.Join(err, out.Close(), in.Close())
	}
	err = p.cmd.Start()
	_ = in.Close()
	if err != nil {
		_ = out.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// stop ends the process's stdin, and the process when that was not understood.
func (p *process) stop() {
	_ = p.stdin.Close()
	select {
	case <-p.exited:
	case <-time.After(leaveTimeout):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
	_ = p.out.Close()
}

// line returns the next line of stdout, or an error that carries what the process said on stderr.
func (p *process) line(timeout time.Duration) (string, error) {
	timer := time.AfterFunc(timeout, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	if p.stdout.Scan() {
		return p.stdout.Text(), nil
	}
	<-p.exited
	return "", fmt.Errorf("%s ended (%v): %s", p.name, p.err, p.stderr.String())
}

// tail keeps the last bytes that were written to it.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b.Write(p)
	if over := t.b.Len() - tailBytes; over > 0 {
		t.b.Next(over)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.b.String())
}

// Servers are the running server processes, one a language.
type Servers struct {
	Targets []Target
	running []*process
}

// StartServers starts one process for each language with a port of its own for each framing, and returns once all of
// them accept. root is the repository. The caller must call Stop, also after an error.
func StartServers(ctx context.Context, root string, langs []Lang) (*Servers, error) {
	s := &Servers{}
	for _, l := range langs { // all at once: the Java machine takes its time
		args := []string{filepath.Join(root, ".cache/interop/bin", l.Name), "server", "--service", "interop." + l.Name}
		for _, f := range l.Serves {
			args = append(args, "--serve", f+"=127.0.0.1:0")
		}
		p, err := start(l.Name+" server", args...)
		if err != nil {
			return s, err
		}
		s.running = append(s.running, p)
	}
	for i, l := range langs {
		if err := s.awaitReady(ctx, l, s.running[i]); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *Servers) awaitReady(ctx context.Context, l Lang, p *process) error {
	for ctx.Err() == nil {
		text, err := p.line(readyTimeout)
		if err != nil {
			return err
		}
		word := strings.Fields(text)
		switch {
		case len(word) == 3 && word[0] == "listening":
			s.Targets = append(s.Targets, Target{Lang: l.Name, Framing: word[1], Addr: word[2]})
		case text == "ready":
			return nil
		default:
			return fmt.Errorf("%s said %q instead of where it listens", p.name, text)
		}
	}
	return ctx.Err()
}

// Stop ends every server process.
func (s *Servers) Stop() {
	var wg sync.WaitGroup
	for _, p := range s.running {
		wg.Go(p.stop)
	}
	wg.Wait()
}
