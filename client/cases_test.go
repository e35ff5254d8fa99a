package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"go.uber.org/goleak"

	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
)

// scenario is one file of cases/; cases/README.md says what the keys mean. Python's tests run the same files.
type scenario struct {
	About   string            `json:"about"`
	Source  string            `json:"source"`
	Proxy   string            `json:"proxy"`
	NoWatch bool              `json:"no_inotify"`
	Servers map[string]string `json:"servers"` // name: net
	File    *caseFile         `json:"file"`
	Steps   []step            `json:"steps"`
}

type caseFile struct {
	State   string          `json:"state"`
	LeaseMS int64           `json:"lease_ms"`
	Local   []string        `json:"local"`
	Remote  []string        `json:"remote"`
	Move    []addrfile.Move `json:"move"`
}

type step struct {
	Do         string    `json:"do"`
	Want       string    `json:"want"`
	Error      string    `json:"error"`
	Idempotent bool      `json:"idempotent"`
	TimeoutMS  int       `json:"timeout_ms"`
	Times      int       `json:"times"`
	Server     string    `json:"server"`
	Mode       string    `json:"mode"`
	Calls      int       `json:"calls"`
	File       *caseFile `json:"file"`
	Content    string    `json:"content"`
	Seconds    float64   `json:"seconds"`
}

// quick are the rule's times for tests that are in a hurry. The heartbeat has more time than the rule gives it: a slow
// machine must not make a live proxy look dead.
var quick = func() tune {
	t := standard
	t.hold, t.probe, t.probeMax, t.look = 100*time.Millisecond, 10*time.Millisecond, 20*time.Millisecond, 50*time.Millisecond
	t.heartbeat = 400 * time.Millisecond
	t.back, t.backMax = 20*time.Millisecond, 100*time.Millisecond
	return t
}()

// world is the host of a scenario.
type world struct {
	t       *testing.T
	sc      scenario
	dir     string // holds pub, which can be replaced
	servers map[string]*fake
	gen     int64
	client  *Client
	tc      map[bool]*TClient
}

func TestCases(t *testing.T) {
	files, err := filepath.Glob("cases/*.json")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			t.Run("case", func(t *testing.T) { newWorld(t, path).run() })
		})
	}
}

func newWorld(t *testing.T, path string) *world {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: t.TempDir(), servers: map[string]*fake{}, gen: 100}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w.sc); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if err := os.Mkdir(filepath.Join(w.dir, "pub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, network := range w.sc.Servers {
		w.servers[name] = newFake(t, name, network, filepath.Join(w.dir, "pub"))
	}
	if w.sc.File != nil {
		w.publish(w.sc.File)
	}
	t.Cleanup(func() {
		if w.client != nil {
			w.client.Close()
		}
	})
	return w
}

func (w *world) path() string { return filepath.Join(w.dir, "pub", addrfile.Name) }

func (w *world) put(content string) {
	w.t.Helper()
	tmp := w.path() + ".new"
	if err := os.WriteFile(tmp, []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(tmp, w.path()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) publish(cf *caseFile) {
	w.t.Helper()
	w.gen++
	f := addrfile.File{Version: 1, Instance: "case", Generation: w.gen, State: addrfile.State(cf.State), LeaseMS: cf.LeaseMS, Move: cf.Move}
	if f.State == "" {
		f.State = addrfile.Serving
	}
	if f.LeaseMS == 0 {
		f.LeaseMS = 60000
	}
	for _, name := range cf.Local {
		f.Local = append(f.Local, w.addr(name))
	}
	for _, name := range cf.Remote {
		f.Remote = append(f.Remote, w.addr(name))
	}
	b, err := json.Marshal(f)
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(string(b))
}

func (w *world) addr(name string) addrfile.Addr {
	s := w.servers[name]
	if s == nil {
		w.t.Fatalf("no server %q", name)
	}
	if s.net == "unix" {
		return addrfile.Addr{Net: "unix", Addr: filepath.Base(s.addr)}
	}
	return addrfile.Addr{Net: "tcp", Addr: s.addr}
}

func (w *world) start() {
	if w.client != nil {
		return
	}
	proxy := w.sc.Proxy
	for name, s := range w.servers {
		addr := s.addr
		if s.net == "unix" {
			addr = "unix:" + addr
		}
		proxy = strings.ReplaceAll(proxy, "{"+name+"}", addr)
	}
	c, err := newClient(Options{
		AddressFile: w.path(), Proxy: proxy, Source: w.sc.Source, NoInotify: w.sc.NoWatch,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}, quick)
	if err != nil {
		w.t.Fatal(err)
	}
	w.client = c
	w.tc = map[bool]*TClient{
		false: NewTClient(c, "Case", CallOptions{}),
		true:  NewTClient(c, "Case", CallOptions{Idempotent: []string{"where"}}),
	}
}

// call makes one call and tells where it was answered, or its class.
func (w *world) call(idempotent bool, timeout time.Duration) (string, error) {
	w.start()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	result := &text{id: 0}
	_, err := w.tc[idempotent].Call(ctx, "where", &text{id: 1, s: "?"}, result)
	if err != nil {
		return ClassOf(err).String(), err
	}
	return result.s, nil
}

func (w *world) run() {
	for i, s := range w.sc.Steps {
		if err := w.step(s); err != nil {
			w.t.Fatalf("step %d (%s): %v", i+1, s.Do, err)
		}
	}
}

func (w *world) step(s step) error {
	switch s.Do {
	case "start":
		w.start()
	case "call":
		return w.stepCall(s)
	case "await":
		return w.stepAwait(s)
	case "seen":
		if calls, _ := w.servers[s.Server].seen(); calls != s.Calls {
			return fmt.Errorf("%s got %d calls, want %d", s.Server, calls, s.Calls)
		}
	case "mode":
		w.servers[s.Server].set(s.Mode)
	case "file":
		w.publish(s.File)
	case "raw":
		w.put(s.Content)
	case "remove":
		return os.Remove(w.path())
	case "age":
		at := time.Now().Add(-time.Duration(s.Seconds * float64(time.Second)))
		return os.Chtimes(w.path(), at, at)
	case "replace_dir":
		return w.replaceDir()
	default:
		return fmt.Errorf("unknown step")
	}
	return nil
}

func (w *world) stepCall(s step) error {
	for range max(s.Times, 1) {
		got, err := w.call(s.Idempotent, ms(s.TimeoutMS, 5000))
		if got != s.Want {
			return fmt.Errorf("%s (%v), want %s", got, err, s.Want)
		}
		if s.Error != "" && (err == nil || !strings.Contains(err.Error(), s.Error)) {
			return fmt.Errorf("error %v does not say %q", err, s.Error)
		}
	}
	return nil
}

// stepAwait calls until the answer is the wanted one. Every call before it has to succeed too.
func (w *world) stepAwait(s step) error {
	for end := time.Now().Add(ms(s.TimeoutMS, 30000)); ; {
		got, err := w.call(false, 5*time.Second)
		if got == s.Want {
			return nil
		}
		if err != nil || time.Now().After(end) {
			return fmt.Errorf("last %s (%v), want %s", got, err, s.Want)
		}
	}
}

// replaceDir puts a new directory in the place of pub, as a bind mount of a re-created one does; sockets are not in
// it, so the servers have to be on TCP.
func (w *world) replaceDir() error {
	pub := filepath.Join(w.dir, "pub")
	if err := os.Rename(pub, pub+".old"); err != nil {
		return err
	}
	return os.Mkdir(pub, 0o755)
}

func ms(n, otherwise int) time.Duration {
	if n == 0 {
		n = otherwise
	}
	return time.Duration(n) * time.Millisecond
}

var _ thrift.TStruct = (*text)(nil)
