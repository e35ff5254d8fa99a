package prove

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	for _, c := range []struct {
		name string
		fill func(*Table)
		last string
		code int
	}{
		{"all good", func(x *Table) { x.Add("a", "1", "1", true); x.Note("b", "2") }, "prove-x: 1 passed, 0 failed", 0},
		{"one bad", func(x *Table) { x.Add("a", "1", "1", true); x.Add("b", "1", "2", false) }, "prove-x: 1 passed, 1 failed", 1},
		{"nothing shown", func(x *Table) { x.Note("a", "1") }, "prove-x: 0 passed, 0 failed", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := NewTable("prove-x")
			c.fill(x)
			var b bytes.Buffer
			code := x.Finish(&b)
			lines := strings.Split(strings.TrimSpace(b.String()), "\n")
			if code != c.code || lines[len(lines)-1] != c.last {
				t.Errorf("exit code %d, want %d; %s", code, c.code, b.String())
			}
		})
	}
}

func TestTableAppend(t *testing.T) {
	x, y := NewTable("prove-x"), NewTable("prove-x")
	x.Add("a", "1", "2", false)
	y.Add("b", "1", "1", true)
	y.Note("c", "3")
	x.Append(y)
	want := "| figure | target | measured | |\n|---|---|---|---|\n| a | 1 | 2 | FAILED |\n| b | 1 | 1 | ok |\n| c | – | 3 | – |\n"
	if got := Markdown(x.Rows()); got != want {
		t.Error(got)
	}
	var b strings.Builder
	if code := x.Finish(&b); code != 1 || !strings.HasSuffix(b.String(), "prove-x: 1 passed, 1 failed\n") {
		t.Errorf("exit code %d, %s", code, b.String())
	}
}

func TestProcess(t *testing.T) {
	dir := t.TempDir()
	p, err := Start(dir, "child", "/bin/sh", "-c", "echo up; exec sleep 100")
	if err != nil {
		t.Fatal(err)
	}
	if line, err := p.Line(); err != nil || line != "up" {
		t.Fatalf("%q, %v", line, err)
	}
	if m, err := ReadMemory(p.PID()); err != nil || m.RSS < m.Anon {
		t.Errorf("%+v, %v", m, err)
	}
	p.Stop(5 * time.Second)
	if err := syscall.Kill(p.PID(), 0); err == nil {
		t.Error("it still runs")
	}
}

// TestEndedProcessSaysWhy: what a program that failed wrote is in the error of whoever waits for it.
func TestEndedProcessSaysWhy(t *testing.T) {
	p, err := Start(t.TempDir(), "child", "/bin/sh", "-c", "echo no such listener >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	err = p.AwaitAddress(context.Background(), "unix", t.TempDir()+"/nobody")
	if err == nil || !strings.Contains(err.Error(), "no such listener") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v", err)
	}
	if _, err := p.Line(); err == nil || !strings.Contains(err.Error(), "no such listener") {
		t.Errorf("got %v", err)
	}
}

func TestStopKillsWhoDoesNotListen(t *testing.T) {
	p, err := Start(t.TempDir(), "child", "/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.01; done")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Line(); err != nil {
		t.Fatal(err)
	}
	p.Stop(time.Millisecond)
	select {
	case <-p.Exited():
	default:
		t.Error("Stop returned before it was gone")
	}
}

func TestScrape(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("# HELP c calls\nc_total{a=\"x y\"} 3\nc_total{a=\"z\"} 4\nc_total_other 9\nm 1.5e+03\n"))
	}))
	defer s.Close()
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
	}}}
	m, err := Scrape(context.Background(), c)
	if err != nil || m.Sum("c_total") != 7 || m["m"] != 1500 {
		t.Errorf("%v, %v", m, err)
	}
	if _, err := Get(context.Background(), c, "/nothing"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v", err)
	}
}

func TestReadMemoryOfNobody(t *testing.T) {
	if _, err := ReadMemory(1 << 30); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
}
