package status

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/admin"
	"github.com/bellhop-mesh/bellhop/proxy"
)

var update = flag.Bool("update", false, "rewrite testdata/*.txt")

func busy() *admin.Status {
	s := &admin.Status{
		Process: admin.Process{
			Role: "local", Version: "v0.1.0", Instance: "5f1c0e9a7b3d42f6", PID: 4711, RunDir: "/run/bellhop",
			Registry: "/etc/bellhop/services.d", Host: "node-7", Zone: "eu-1a",
		},
		State: "draining", Ready: "closing", UptimeS: 3723.4, InFlight: 12, Bytes: 5 << 20, CallerConns: 64,
		Listeners: []admin.Listener{
			{Name: "unix:call.sock", Net: "unix", Addr: "/run/bellhop/pub/call.sock", Framing: "auto"},
			{Name: "hello", Net: "tcp", Addr: "127.0.0.1:9090", Framing: "framed-lax", Service: "com.example.Hello", Ordered: true, TLS: true},
		},
		Services: []admin.Service{
			{Name: "com.example.Hello", Mode: "exclusive", Endpoints: []proxy.EndpointStats{
				{Endpoint: "10.0.0.1:9090", Mode: "exclusive", Framing: "framed-binary", Conns: 4, InFlight: 3},
				{Endpoint: "10.0.0.2:9090", Mode: "exclusive", Framing: "compact", Waiting: 7, Down: true},
				{Endpoint: "10.0.0.3:9090", Mode: "exclusive", Framing: "compact", Health: &proxy.EndpointHealth{State: "open", Reason: "slow"}},
				{Endpoint: "10.0.0.4:9090", Mode: "exclusive", Framing: "compact", Health: &proxy.EndpointHealth{State: "open", Reason: "manual"}},
			}, Traffic: admin.Traffic{
				Calls: 123456, Failed: 21, PerSecond: 1234.5, FailPerS: 0.25, P50us: 447, P99us: 12287,
				FailedBy: map[string]uint64{"deadline": 20, "lost": 1},
			}},
			{Name: "demo.Empty", Mode: "multiplexed"},
		},
		Remotes: []proxy.EndpointStats{{Endpoint: "10.1.0.7:7300", Zone: "eu-1b", Conns: 2, InFlight: 1, Latency: 1800}},
		Sources: []admin.Source{
			{SourceStats: proxy.SourceStats{Source: "quiet.service", Workload: "quiet.service", Calls: 9}},
			{SourceStats: proxy.SourceStats{
				Source: "2f0c5c1e", Workload: "shop", Conns: 8, InFlight: 12, Queued: 5, Bytes: 2048, Calls: 123447, Failed: 21,
				Delay: proxy.DelayStats{Samples: 9, P99: 1234 * time.Microsecond}, Quarantined: 1520 * time.Millisecond,
			}, PerSecond: 1234.5},
			{SourceStats: proxy.SourceStats{Source: "uid:0", Workload: "uid:0"}},
		},
		HandedOver: map[string]uint64{"source_calls": 5, "no_endpoint": 7},
		Problem:    "a.yaml:1: services: is empty\na.yaml:2: x: is wrong",
	}
	s.Total = s.Services[0].Traffic
	return s
}

// TestWrite compares with testdata, byte for byte.
func TestWrite(t *testing.T) {
	for name, s := range map[string]*admin.Status{"busy": busy(), "idle": {Process: admin.Process{Role: "remote"}, State: "serving", Ready: "ok"}} {
		var b strings.Builder
		if err := Write(&b, s, Options{MaxSources: 2}); err != nil {
			t.Fatal(err)
		}
		asBefore(t, name, b.String())
	}
}

// asBefore compares a text with testdata, or puts it there.
func asBefore(t *testing.T, name, text string) {
	t.Helper()
	path := "testdata/" + name + ".txt"
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s: got\n%swant\n%s", name, text, want)
	}
}

// TestWidth: no line is wider than the terminal.
func TestWidth(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, busy(), Options{Width: 60}); err != nil {
		t.Fatal(err)
	}
	cutLines := 0
	for l := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > 60 {
			t.Errorf("%d columns: %s", n, l)
		}
		if strings.HasSuffix(l, "…\n") {
			cutLines++
		}
	}
	if cutLines == 0 {
		t.Error("nothing was cut")
	}
}

func TestUnits(t *testing.T) {
	for us, want := range map[uint64]string{0: "-", 999: "999µs", 1000: "1ms", 12287: "12.3ms", 1_500_000: "1.5s"} {
		if got := micros(us); got != want {
			t.Errorf("%dµs: %s, want %s", us, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0B", 1023: "1023B", 1536: "1.5KiB", 5 << 20: "5MiB", 3 << 30: "3GiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for f, want := range map[float64]string{0: "0", 0.25: "0.2", 9.94: "9.9", 1234.5: "1234"} {
		if got := rate(f); got != want {
			t.Errorf("%v: %s, want %s", f, got, want)
		}
	}
}
