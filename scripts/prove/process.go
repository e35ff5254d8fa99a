package prove

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Process is a child that is killed when this process ends, however it ends.
type Process struct {
	Name   string
	log    string // file of its standard error
	cmd    *exec.Cmd
	out    *bufio.Scanner
	exited chan struct{}
	err    error // of Wait, after exited
}

// starters is where children are forked: PDEATHSIG is sent when the *thread* that forked ends, so one thread that never
// ends forks them all.
var starters = make(chan func())

// starter runs the forks. It is started by the first Start.
func starter() {
	runtime.LockOSThread()
	for f := range starters {
		f()
	}
}

var running = make(chan struct{}, 1)

// Start runs a program with its standard error in dir/NAME.log. The caller stops it.
func Start(dir, name string, argv ...string) (*Process, error) {
	p := &Process{Name: name, log: filepath.Join(dir, name+".log"), exited: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(r)
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = w, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	select {
	case running <- struct{}{}:
		go starter()
	default:
	}
	started := make(chan error)
	starters <- func() { started <- p.cmd.Start() }
	err = <-started
	_ = w.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), r.Close())
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Line returns the next line that the process prints. One goroutine at a time.
func (p *Process) Line() (string, error) {
	if p.out.Scan() {
		return p.out.Text(), nil
	}
	<-p.exited
	return "", p.ended()
}

// ended says how the process ended and what it said last.
func (p *Process) ended() error {
	b, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s ended (%v): %s", p.Name, p.err, strings.TrimSpace(string(b[max(0, len(b)-2000):])))
}

// Kill is kill -9. It returns when the process is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// Stop asks the process to end, and kills it when it has not ended in time. A nil Process is no process.
func (p *Process) Stop(timeout time.Duration) {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(timeout):
		p.Kill()
	}
}

// Await asks again and again until f is content, the process has ended or ctx is done. The error is f's last.
func (p *Process) Await(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return p.ended()
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", p.Name, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// AwaitAddress waits until something accepts at an address.
func (p *Process) AwaitAddress(ctx context.Context, network, addr string) error {
	return p.Await(ctx, func() error {
		c, err := net.DialTimeout(network, addr, time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// FreePort returns a loopback address that nobody listens at just now, for programs that can't report theirs.
func FreePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// CopyTo passes on what the process prints, until it ends.
func (p *Process) CopyTo(w io.Writer) {
	for p.out.Scan() {
		_, _ = fmt.Fprintln(w, p.out.Text())
	}
}
