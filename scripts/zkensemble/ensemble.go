// Package zkensemble runs real ZooKeeper servers for tests and proofs: Debian's jar, on loopback, with ports that were
// free, in a folder of the caller's. It must never be part of a proxy, and never touch a process that it did not start.
package zkensemble

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

const jar = "/usr/share/java/zookeeper.jar"

// Missing says what this machine lacks to run an ensemble, and how to get it; "" when nothing is.
func Missing() string {
	if _, err := exec.LookPath("java"); err != nil {
		return "java is missing; run scripts/setup.sh test"
	}
	if _, err := os.Stat(jar); err != nil {
		return jar + " is missing; run scripts/setup.sh test"
	}
	return ""
}

// Options are what a test may want otherwise.
type Options struct {
	Servers int      // default 3
	Config  []string // more lines of zoo.cfg, for every server
	JVM     []string // more arguments of java

	TLS *Certificates // opens one more port of each server, for TLS; nil: none
}

// Ensemble is a running ensemble. Its methods are for one goroutine.
type Ensemble struct {
	dir     string
	o       Options
	ports   []int // client, quorum, election and TLS port of each
	servers []*exec.Cmd
}

// Start runs an ensemble in dir and waits until it serves. Ports are taken again when somebody else was quicker.
func Start(dir string, o Options) (*Ensemble, error) {
	if o.Servers == 0 {
		o.Servers = 3
	}
	var err error
	for range 3 {
		e := &Ensemble{dir: dir, o: o, servers: make([]*exec.Cmd, o.Servers)}
		if e.ports, err = prove.FreePorts(portsEach * o.Servers); err != nil {
			return nil, err
		}
		if err = e.start(); err == nil {
			return e, nil
		}
		e.Close()
	}
	return nil, err
}

const portsEach = 4

func (e *Ensemble) start() error {
	for i := range e.servers {
		if err := e.Restart(i); err != nil {
			return err
		}
	}
	return e.Await(20 * time.Second)
}

// Restart starts server i, which must not be running.
func (e *Ensemble) Restart(i int) error {
	dir := filepath.Join(e.dir, strconv.Itoa(i+1))
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		return err
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "data", "myid"), []byte(strconv.Itoa(i+1)), 0o600),
		os.WriteFile(filepath.Join(dir, "zoo.cfg"), e.config(i, dir), 0o600),
		os.WriteFile(filepath.Join(dir, "log4j.properties"), []byte(logging), 0o600),
	); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	args := append([]string{
		"-Xmx160m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j.configuration=file:" + filepath.Join(dir, "log4j.properties"),
		"-Dzookeeper.log.dir=" + dir,
	}, e.o.JVM...)
	cmd := exec.Command("java", append(args, "-cp", jar+nettyJars, "org.apache.zookeeper.server.quorum.QuorumPeerMain", filepath.Join(dir, "zoo.cfg"))...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that is killed leaves nothing
	if err := cmd.Start(); err != nil {
		return err
	}
	e.servers[i] = cmd
	return nil
}

const logging = `log4j.rootLogger=WARN, C
log4j.appender.C=org.apache.log4j.ConsoleAppender
log4j.appender.C.layout=org.apache.log4j.PatternLayout
log4j.appender.C.layout.ConversionPattern=%d{ISO8601} %p %c{1} %m%n
`

func (e *Ensemble) config(i int, dir string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "tickTime=500\ninitLimit=20\nsyncLimit=10\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\n", filepath.Join(dir, "data"), e.ports[portsEach*i])
	b.WriteString("admin.enableServer=false\n4lw.commands.whitelist=*\nmaxClientCnxns=0\nsnapshot.trust.empty=true\n")
	if e.o.TLS != nil {
		b.WriteString(e.o.TLS.config(e.ports[portsEach*i+3]))
	}
	for _, line := range e.o.Config {
		fmt.Fprintln(&b, line)
	}
	if len(e.servers) > 1 {
		for j := range e.servers {
			fmt.Fprintf(&b, "server.%d=127.0.0.1:%d:%d\n", j+1, e.ports[portsEach*j+1], e.ports[portsEach*j+2])
		}
	}
	return b.Bytes()
}

// Await waits until every running server serves. Seen: one server after 1.4 s, three after 4.5 s.
func (e *Ensemble) Await(within time.Duration) error {
	deadline := time.Now().Add(within)
	for i, s := range e.servers {
		for s != nil && e.Mode(i) == "" {
			if time.Now().After(deadline) {
				log, _ := os.ReadFile(filepath.Join(e.dir, strconv.Itoa(i+1), "log")) // only to say more
				return fmt.Errorf("ZooKeeper server %d does not serve after %s; its log ends with:\n%s", i+1, within, log[max(0, len(log)-2000):])
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	return nil
}

// Addr is where server i is reached.
func (e *Ensemble) Addr(i int) string { return "127.0.0.1:" + strconv.Itoa(e.ports[portsEach*i]) }

// SecureAddr is where server i is reached with TLS.
func (e *Ensemble) SecureAddr(i int) string {
	return "127.0.0.1:" + strconv.Itoa(e.ports[portsEach*i+3])
}

// Servers is the connect string.
func (e *Ensemble) Servers() string {
	list := make([]string, len(e.servers))
	for i := range list {
		list[i] = e.Addr(i)
	}
	return strings.Join(list, ",")
}

// Mode is what server i is: leader, follower, standalone; "" when it does not serve.
func (e *Ensemble) Mode(i int) string {
	for _, line := range strings.Split(e.Word(i, "srvr"), "\n") {
		if mode, ok := strings.CutPrefix(line, "Mode: "); ok {
			return mode
		}
	}
	return ""
}

// Word asks server i a four-letter word, like mntr or wchs; "" when it does not answer.
func (e *Ensemble) Word(i int, word string) string {
	c, err := net.DialTimeout("tcp", e.Addr(i), time.Second)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second)) // a fresh connection takes it
	if _, err := c.Write([]byte(word)); err != nil {
		return ""
	}
	b, _ := io.ReadAll(c) // what came is what there is
	return string(b)
}

// Leader is the leader's index; -1 when there is none.
func (e *Ensemble) Leader() int {
	for i := range e.servers {
		if m := e.Mode(i); m == "leader" || m == "standalone" {
			return i
		}
	}
	return -1
}

// Kill ends server i at once.
func (e *Ensemble) Kill(i int) {
	if s := e.servers[i]; s != nil {
		_ = s.Process.Kill() // it may have ended by itself
		_ = s.Wait()         // killed: an error
		e.servers[i] = nil
	}
}

// Pause stops server i without ending its connections; Resume lets it go on.
func (e *Ensemble) Pause(i int) error { return e.servers[i].Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (e *Ensemble) Resume(i int) error { return e.servers[i].Process.Signal(syscall.SIGCONT) }

// PID is the process of server i; 0 when it is not running.
func (e *Ensemble) PID(i int) int {
	if s := e.servers[i]; s != nil {
		return s.Process.Pid
	}
	return 0
}

// Close ends all servers.
func (e *Ensemble) Close() {
	for i := range e.servers {
		e.Kill(i)
	}
}
