package demo

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// family are the processes that the demo started. They end with it, however it ends:
//
//	demo returns ─► close: SIGTERM and end of standard input ─► 3 s ─► SIGKILL
//	demo is killed ─► the kernel sends them SIGKILL (PDEATHSIG)
//
// The kernel means the thread that started a child, not the process: one thread of ours starts them all, and stays.
type family struct {
	logs    string // a directory
	trouble chan error
	starts  chan func()

	mu  sync.Mutex
	all []*child
}

// child is one process. Its methods are safe for concurrent use, reading out is not.
type child struct {
	name, log string
	cmd       *exec.Cmd
	in        io.WriteCloser // the child takes its end as a request to end
	out       *bufio.Reader
	done      chan struct{} // closed when it has ended and was reaped
	wanted    atomic.Bool   // its end is no surprise
}

func newFamily(logs string) *family {
	f := &family{logs: logs, trouble: make(chan error, 1), starts: make(chan func())}
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine, after the children
		for start := range f.starts {
			start()
		}
	}()
	return f
}

// start runs a program. Its standard error goes to a file, which is read when it ends without having been asked to.
func (f *family) start(name string, env []string, argv ...string) (*child, error) {
	c := &child{name: name, log: filepath.Join(f.logs, name+".log"), cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{})}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	in, lifeline, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	stdout, out, err := os.Pipe()
	if err != nil {
		_ = lifeline.Close()
		return nil, err
	}
	defer out.Close()
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = in, out, log
	c.cmd.Env = append(os.Environ(), env...)
	// A group of its own: Ctrl-C is for the demo, which then ends them in the right order.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	f.starts <- func() { started <- c.cmd.Start() }
	if err := <-started; err != nil {
		_, _ = lifeline.Close(), stdout.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c.in, c.out = lifeline, bufio.NewReaderSize(stdout, 1<<20)
	f.mu.Lock()
	f.all = append(f.all, c)
	f.mu.Unlock()
	go f.reap(c)
	return c, nil
}

func (f *family) reap(c *child) {
	err := c.cmd.Wait()
	close(c.done)
	if c.wanted.Load() {
		return
	}
	if err == nil {
		err = errors.New("exit status 0")
	}
	select {
	case f.trouble <- fmt.Errorf("%s ended by itself: %w%s", c.name, err, c.lastWords()):
	default: // the first one is what matters
	}
}

// lastWords is the end of a child's log, for an error.
func (c *child) lastWords() string {
	b, err := os.ReadFile(c.log)
	if b = bytes.TrimSpace(b); err != nil || len(b) == 0 {
		return ""
	}
	lines := strings.Split(string(b), "\n")
	return "\n    " + strings.Join(lines[max(0, len(lines)-8):], "\n    ")
}

// line waits for a line of a child's output.
func (c *child) line(patience time.Duration) (string, error) {
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		s, err := c.out.ReadString('\n')
		got <- answer{strings.TrimSpace(s), err}
	}()
	select {
	case a := <-got:
		if a.err != nil {
			return "", fmt.Errorf("%s did not start%s", c.name, c.lastWords())
		}
		return a.line, nil
	case <-time.After(patience):
		return "", fmt.Errorf("%s said nothing for %v%s", c.name, patience, c.lastWords())
	}
}

// kill ends it without a warning, as a crash would.
func (c *child) kill() {
	c.wanted.Store(true)
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.done
}

// end asks it to end.
func (c *child) end(by os.Signal) {
	c.wanted.Store(true)
	_ = c.in.Close()
	if by != nil {
		_ = c.cmd.Process.Signal(by) // it may have ended
	}
}

// close ends all children and waits for them. No start may run or follow.
func (f *family) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.all {
		c.end(syscall.SIGTERM)
	}
	patience := time.After(3 * time.Second)
	for _, c := range f.all {
		select {
		case <-c.done:
			continue
		case <-patience:
		}
		c.kill()
		patience = time.After(0) // the others had their time too
	}
	close(f.starts)
}
