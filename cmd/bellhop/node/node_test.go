package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bellhop-mesh/bellhop/cmd/bellhop/config"
	"github.com/bellhop-mesh/bellhop/daemonset/addrfile"
	"github.com/bellhop-mesh/bellhop/daemonset/identity"
	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy"
	"github.com/bellhop-mesh/bellhop/registry"
)

// TestMain finds what a node that has ended, or failed to start, left running. gnet's own pool of goroutines has no end.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*goWorker).run.func1"),
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"))
}

func tcp(actual, advertise string) place {
	return place{Listener: config.Listener{Net: "tcp", Advertise: advertise}, actual: actual}
}

// TestGuestAddrs: the address file names what every guest can use, in a way that guests can use.
func TestGuestAddrs(t *testing.T) {
	bound := tcp("127.0.0.1:1", "")
	bound.Service = "demo.A"
	pinned := tcp("127.0.0.1:2", "")
	pinned.framing = protocol.FramedLax
	secret := tcp("127.0.0.1:3", "")
	secret.TLS.Cert = "c.pem"
	got := guestAddrs([]place{
		{Listener: config.Listener{Net: "unix"}, actual: "/run/bellhop/pub/call.sock"},
		{Listener: config.Listener{Net: "unix"}, actual: "/run/bellhop/pub/more/b.sock"},
		{Listener: config.Listener{Net: "unix"}, actual: "/run/other/c.sock"},
		bound, pinned, secret,
		tcp("10.0.0.7:7070", ""), tcp("0.0.0.0:7071", ""), tcp("[::]:7072", ""), tcp("[::1]:7073", ""), tcp("0.0.0.0:7074", "node.example.com:7074"),
	}, "/run/bellhop/pub")
	want := []addrfile.Addr{
		{Net: "unix", Addr: "call.sock"},
		{Net: "unix", Addr: "more/b.sock"},
		{Net: "tcp", Addr: "10.0.0.7:7070"},
		{Net: "tcp", Addr: "127.0.0.1:7071"},
		{Net: "tcp", Addr: "127.0.0.1:7072"},
		{Net: "tcp", Addr: "[::1]:7073"},
		{Net: "tcp", Addr: "node.example.com:7074"},
	}
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%d: %v, want %v", i, got[i], want[i])
		}
	}
}

func TestOwner(t *testing.T) {
	for s, want := range map[string][2]int{"": {-1, -1}, "12": {12, -1}, "12:34": {12, 34}, ":34": {-1, 34}, "root": {0, -1}, "root:root": {0, 0}} {
		uid, gid, err := owner(s)
		if err != nil || uid != want[0] || gid != want[1] {
			t.Errorf("%q: %d, %d, %v; want %v", s, uid, gid, err, want)
		}
	}
	for _, s := range []string{"no such user", "0:no such group"} {
		if _, _, err := owner(s); err == nil {
			t.Errorf("%q was found", s)
		}
	}
}

func TestReadToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for content, want := range map[string]string{
		"0123456789abcdef\n": "0123456789abcdef", " 0123456789abcdef ": "0123456789abcdef", "0123456789abcde": "", "": "", "               \n": "",
		strings.Repeat("x", maxToken): strings.Repeat("x", maxToken), strings.Repeat("x", maxToken+1): "",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readToken(path)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%d bytes: %d bytes, %v", len(content), len(got), err)
		}
		if secret := strings.TrimSpace(content); err != nil && secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
}

func TestReadDigest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "digest")
	if got, err := readDigest(""); got != "" || err != nil {
		t.Errorf("no file: %q, %v", got, err)
	}
	for content, want := range map[string]string{
		"shop:secret\n": "shop:secret", " a:b:c ": "a:b:c", "secret": "", ":secret": "", "shop:": "", "": "", "a:" + strings.Repeat("x", maxDigest): "",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readDigest(path)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", content, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
}

// TestLookups: a service is not there when every ensemble that was asked has said so.
func TestLookups(t *testing.T) {
	var told []string
	l := &lookups{told: map[string]int{"a.B": 2, "c.D": 1, "e.F": 1}, notFound: func(name string) { told = append(told, name) }}
	l.absent("a.B")
	l.forget(&registry.Snapshot{Services: map[string]*registry.Service{"e.F": {}}})
	if len(told) != 0 || len(l.told) != 2 {
		t.Errorf("%v, %v", told, l.told)
	}
	l.absent("c.D")
	l.absent("a.B")
	if len(told) != 2 || told[0] != "c.D" || told[1] != "a.B" || len(l.told) != 0 {
		t.Errorf("%v, %v", told, l.told)
	}
	if (&lookups{}).hook() != nil {
		t.Error("without an ensemble the data plane asks for services")
	}
}

// TestSelftestMessages: what is written is read back, and nothing is believed that is no self-test.
func TestSelftestMessages(t *testing.T) {
	b := appendMessage(nil, protocol.MessageReply, selftestMethod, 7)
	name, seq, typ, err := readMessage(bytes.NewReader(b))
	if err != nil || name != selftestMethod || seq != 7 || typ != protocol.MessageReply {
		t.Errorf("%s %d %d %v", name, seq, typ, err)
	}
	for what, b := range map[string][]byte{
		"short":          b[:len(b)-1],
		"huge frame":     append([]byte{0x7f, 0xff, 0xff, 0xff}, b[4:]...),
		"name past":      append(append([]byte{}, b[:8]...), 0xff, 0xff, 0xff, 0xff, 1),
		"frame of 12":    {0, 0, 0, 12, 0x80, 1, 0, 2, 0, 0, 0, 4, 'p', 'i', 'n', 'g', 0},
		"name of 2^32-8": {0, 0, 0, 30, 0x80, 1, 0, 2, 0xff, 0xff, 0xff, 0xf8, 0},
		"nothing":        {},
	} {
		if _, _, _, err := readMessage(bytes.NewReader(b)); err == nil {
			t.Errorf("%s: it was believed", what)
		}
	}
}

// TestSelftestCall: an exception, another's reply and silence are failures.
func TestSelftestCall(t *testing.T) {
	for what, reply := range map[string]func(seq int32) []byte{
		"reply":            func(seq int32) []byte { return appendMessage(nil, protocol.MessageReply, selftestMethod, seq) },
		"exception":        func(seq int32) []byte { return appendMessage(nil, protocol.MessageException, selftestMethod, seq) },
		"another sequence": func(seq int32) []byte { return appendMessage(nil, protocol.MessageReply, selftestMethod, seq+1) },
		"another method":   func(seq int32) []byte { return appendMessage(nil, protocol.MessageReply, "pong", seq) },
		"end":              func(int32) []byte { return nil },
	} {
		t.Run(what, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				if name, seq, _, err := readMessage(c); err == nil && name == selftestService+":"+selftestMethod {
					_, _ = c.Write(reply(seq))
				}
			}()
			s := selftest{network: "tcp", address: l.Addr().String()}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := s.call(ctx); (err == nil) != (what == "reply") {
				t.Errorf("%v", err)
			}
		})
	}
	s := selftest{network: "unix", address: filepath.Join(t.TempDir(), "none")}
	if s.call(t.Context()) == nil {
		t.Error("nobody listens, and it went well")
	}
}

// conn is a connection with an address.
type conn struct {
	net.Conn
	from string
}

type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }
func (c conn) RemoteAddr() net.Addr {
	if ap, err := netip.ParseAddrPort(c.from); err == nil {
		return net.TCPAddrFromAddrPort(ap)
	}
	return addr(c.from)
}

// TestIdentify: TCP callers are let in from this node and from what the operator allows.
func TestIdentify(t *testing.T) {
	id := &identity.Identifier{Local: identity.NewLocalAddrs(netip.MustParseAddr("192.0.2.1")), Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	who := newIdentify(id, nil, slog.New(slog.DiscardHandler))
	for from, want := range map[string]string{
		"127.0.0.1:1": "node", "192.0.2.1:1": "node", "[::1]:1": "node", "10.1.2.3:1": "ip:10.1.2.3", "[::ffff:10.1.2.3]:1": "ip:10.1.2.3",
		"192.0.2.2:1": "", "nonsense": "",
	} {
		got, err := who(conn{from: from})
		if got.Source != want || (err == nil) != (want != "") {
			t.Errorf("%s: %+v, %v", from, got, err)
		}
	}
	dir := t.TempDir()
	l, err := proxy.ListenUnix(filepath.Join(dir, "s"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if got, err := who(server); err != nil || got.Source == "" || got.Workload == "" {
		t.Errorf("over a unix socket: %+v, %v", got, err)
	}
}

// TestIdentityOf: the data plane knows of a source what rules match by.
func TestIdentityOf(t *testing.T) {
	labels := map[string]string{"team": "a"}
	describe := func(uid string) (string, map[string]string) {
		if uid == "u1" {
			return "shop", labels
		}
		return "", nil
	}
	for _, c := range []struct {
		source identity.Source
		want   proxy.Identity
	}{
		{identity.Source{Kind: identity.Pod, Key: "u1", Workload: "shop/cart"}, proxy.Identity{Source: "u1", Workload: "shop/cart", Namespace: "shop", Labels: labels}},
		{identity.Source{Kind: identity.Pod, Key: "u2", Workload: "u2"}, proxy.Identity{Source: "u2", Workload: "u2"}},
		{identity.Source{Kind: identity.Unit, Key: "web@7.service", Workload: "web@.service"}, proxy.Identity{Source: "web@7.service", Workload: "web@.service", Unit: "web@7.service"}},
		{identity.Source{Kind: identity.User, Key: "uid:0", Workload: "uid:0"}, proxy.Identity{Source: "uid:0", Workload: "uid:0"}},
		{identity.Source{Kind: identity.Node, Key: "node", Workload: "node"}, proxy.Identity{Source: "node", Workload: "node", Crowd: true}},
		{identity.Source{Kind: identity.Address, Key: "ip:10.0.0.7", Workload: "ip:10.0.0.7"}, proxy.Identity{Source: "ip:10.0.0.7", Workload: "ip:10.0.0.7", Crowd: true}},
	} {
		if got := identityOf(c.source, describe); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v is %+v", c.source, got)
		}
		if got := identityOf(c.source, nil); got.Source != c.want.Source || got.Namespace != "" || got.Unit != c.want.Unit {
			t.Errorf("%+v is %+v where no pods are known", c.source, got)
		}
	}
	if (&kubernetesCluster{}).describe() != nil {
		t.Error("pods are described that are not known")
	}
}

func TestCheckService(t *testing.T) {
	for name, want := range map[string]bool{"demo.A": true, selftestService: false, "bellhop": false} {
		if err := CheckService(&registry.Service{Name: name}); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if CheckService(&registry.Service{Name: "a", Framing: "osp", SeqID: "positional"}) == nil {
		t.Error("what the data plane would not compile was taken")
	}
}

// TestStartFails: a start that fails names what was wrong and leaves nothing behind that runs.
func TestStartFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		change func(*config.Config)
		want   string
		usage  bool
	}{
		"address in use": {func(c *config.Config) { c.Listeners[1].Addr = taken.Addr().String() }, "another process listens there", false},
		"no such owner":  {func(c *config.Config) { c.Listeners[0].Owner = "no such user" }, "owner", true},
		"no certificate": {func(c *config.Config) { c.Listeners[1].TLS = config.ServerTLS{Cert: "/nowhere", Key: "/nowhere"} }, "/nowhere", true},
		"no token":       {func(c *config.Config) { c.HandOff.TokenFile = "/nowhere" }, "handoff.token_file", true},
		"admin":          {func(c *config.Config) { c.Admin.Listen = "unix:/nowhere/a.sock" }, "admin: listen on /nowhere/a.sock", false},
		"run directory":  {func(c *config.Config) { c.RunDir = "/proc/self/cmdline" }, "run directory", false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config.Default(config.Local)
			dir, err := os.MkdirTemp("", "bellhop")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			cfg.RunDir, cfg.Listeners[1].Addr = dir, "127.0.0.1:0"
			c.change(cfg)
			if err := cfg.Resolve(); err != nil {
				t.Fatal(err)
			}
			err = Run(t.Context(), Options{Role: config.Local, Config: cfg, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
			var ce *ConfigError
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &ce) != c.usage {
				t.Errorf("%v", err)
			}
		})
	}
}
