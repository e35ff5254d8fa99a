package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/zkensemble"
	"github.com/go-zookeeper/zk"
)

const (
	instances = 10 // of a service
	payload   = `{"weight":100,"zone":"zone-a","host":"node-10-12","version":"1.4.2"}`
	tick      = 10_000 // microseconds of one tick in /proc/PID/stat
)

// bench is one run of the measurement.
type bench struct {
	dir     string
	e       *zkensemble.Ensemble
	servers []string
	m       measured
}

// measure runs three real servers and everything against them; about two minutes.
func measure(file string) error {
	if why := zkensemble.Missing(); why != "" {
		return errors.New(why)
	}
	dir, err := os.MkdirTemp("", "scale")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // of the servers that are ended before
	e, err := zkensemble.Start(dir, zkensemble.Options{
		Config: []string{"maxSessionTimeout=60000"},
		JVM:    []string{"-Xmx1g", "-XX:TieredStopAtLevel=4", "-XX:+PrintClassHistogram"},
	})
	if err != nil {
		return err
	}
	defer e.Close()
	b := &bench{dir: dir, e: e, servers: strings.Split(e.Servers(), ",")}
	b.m.Date, b.m.Machine = time.Now().UTC().Format(time.DateOnly), "2 shared cores, 24 GiB"
	b.m.Server = "ZooKeeper " + strings.TrimPrefix(strings.SplitN(strings.SplitN(e.Word(0, "srvr"), "\n", 2)[0], "-", 2)[0], "Zookeeper version: ")
	for _, step := range []struct {
		name string
		f    func() error
	}{
		{"tree", b.tree},
		{"wire", b.wire},
		{"requests", b.requests},
		{"paced", b.paced},
		{"pings", b.pings},
		{"writes", b.writes},
		{"memory", b.memory},
		{"fan-out", b.fanOut},
		{"losses", b.losses},
	} {
		began := time.Now()
		if err := step.f(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %.1f s\n", step.name, time.Since(began).Seconds())
	}
	return b.m.save(file)
}

// tree makes 100 services with 10 instances, and one with 100.
func (b *bench) tree() error {
	h, err := connect(b.servers, 30*time.Second, nil)
	if err != nil {
		return err
	}
	defer h.close()
	for _, p := range []string{"/bellhop", "/bellhop/services"} {
		if _, err := h.conn.Create(p, nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
			return err
		}
	}
	return each(101, func(i int) error {
		n := instances
		if i == 100 {
			n = 100
		}
		if _, err := h.conn.Create(service(i), nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
			return err
		}
		for j := range n {
			if _, err := h.conn.Create(service(i)+"/"+instance(j), []byte(payload), 0, zk.WorldACL(zk.PermAll)); err != nil {
				return err
			}
		}
		return nil
	})
}

// cpu is the time that server i has used, in microseconds.
func (b *bench) cpu(i int) float64 {
	pid := b.e.PID(i)
	if pid == 0 {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, _ := strconv.ParseFloat(f[11], 64) // the kernel writes numbers
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) * tick
}

func (b *bench) cpus() (sum float64) {
	for i := range b.servers {
		sum += b.cpu(i)
	}
	return sum
}

// live are the bytes of server i's heap that are in use: SIGQUIT makes it collect everything and print a histogram.
func (b *bench) live(i int) (float64, error) {
	file := filepath.Join(b.dir, strconv.Itoa(i+1), "log")
	before, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	if err := syscall.Kill(b.e.PID(i), syscall.SIGQUIT); err != nil {
		return 0, err
	}
	for range 200 {
		<-time.After(50 * time.Millisecond)
		now, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		for _, line := range strings.Split(string(now[len(before):]), "\n") {
			if f := strings.Fields(line); len(f) == 3 && f[0] == "Total" && strings.HasSuffix(string(now), "\n") {
				return strconv.ParseFloat(f[2], 64)
			}
		}
	}
	return 0, errors.New("the server printed no histogram of its heap within 10s")
}

func (b *bench) lives() (mean float64, err error) {
	for i := range b.servers {
		n, err := b.live(i)
		if err != nil {
			return 0, err
		}
		mean += n / float64(len(b.servers))
	}
	return mean, nil
}

// watches is how many all servers say they hold.
func (b *bench) watches() (n int) {
	for i := range b.servers {
		for _, line := range strings.Split(b.e.Word(i, "mntr"), "\n") {
			if f := strings.Fields(line); len(f) == 2 && f[0] == "zk_watch_count" {
				v, _ := strconv.Atoi(f[1]) // a number, or the server is not there
				n += v
			}
		}
	}
	return n
}
