package identity

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

const podUID = "0f3c2a1e-4b5d-4c6e-8f70-112233445566"

// pods knows one pod.
type pods struct{}

var known = Source{Key: podUID, Workload: "shop/front", Kind: Pod}

func (pods) PodByIP(a netip.Addr) (Source, bool) {
	return known, a == netip.MustParseAddr("10.1.2.3")
}

func (pods) PodByUID(uid string) (Source, bool) { return known, uid == podUID }

// proc makes a proc file system in which pid's cgroup file says text.
func proc(t *testing.T, pid int, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, strconv.Itoa(pid)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(pid), "cgroup"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// pair is an accepted unix connection whose peer is this process.
func pair(t testing.TB) *net.UnixConn {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a.(*net.UnixConn)
}

func TestFromUnix(t *testing.T) {
	me := "uid:" + strconv.Itoa(os.Getuid())
	podPath := "0::/kubepods/burstable/pod" + podUID + "/x\n"
	for name, c := range map[string]struct {
		text string
		pods Resolver
		want Source
	}{
		"a unit":              {"0::/system.slice/foo.service\n", nil, Source{Key: "foo.service", Workload: "foo.service", Kind: Unit}},
		"a pod":               {podPath, nil, Source{Key: podUID, Workload: podUID, Kind: Pod}},
		"a pod that is known": {podPath, pods{}, known},
		"nothing to go by":    {"0::/\n", pods{}, Source{Key: me, Workload: me, Kind: User}},
	} {
		t.Run(name, func(t *testing.T) {
			id := &Identifier{Proc: proc(t, os.Getpid(), c.text), Pods: c.pods}
			got, err := id.FromUnix(pair(t))
			if err != nil || got != c.want {
				t.Errorf("%+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestFromUnixOnTheRealProc(t *testing.T) {
	s, err := new(Identifier).FromUnix(pair(t))
	if err != nil || s.Key == "" || s.Workload == "" || s.Hidden {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestHiddenPeer(t *testing.T) {
	// Pid 0 is what the kernel shows of a process outside of this pid namespace.
	got := (&Identifier{Proc: t.TempDir()}).fromCred(0, 1000, -1)
	if want := (Source{Key: "uid:1000", Workload: "uid:1000", Kind: User, Hidden: true}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestPeerThatEnded(t *testing.T) {
	want := Source{Key: "uid:1000", Workload: "uid:1000", Kind: User}
	if got := (&Identifier{Proc: t.TempDir()}).fromCred(4242, 1000, -1); got != want {
		t.Errorf("without a proc entry: %+v, want %+v", got, want)
	}
	// Its pid is another process's now: the pidfd, which is of the peer, says that the peer is gone.
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	id := &Identifier{Proc: proc(t, cmd.Process.Pid, "0::/system.slice/other.service\n")}
	pid := int32(cmd.Process.Pid)
	if got := id.fromCred(pid, 1000, pidfd); got.Key != "other.service" {
		t.Errorf("while it lives: %+v", got)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	id = &Identifier{Proc: id.Proc} // one that remembers nothing
	if got := id.fromCred(pid, 1000, pidfd); got != want {
		t.Errorf("after its end: %+v, want %+v", got, want)
	}
}

func TestFromTCPAndAllowed(t *testing.T) {
	id := &Identifier{
		Local: NewLocalAddrs(netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")),
		Pods:  pods{},
		Allow: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:1::/48")},
	}
	for addr, want := range map[string]struct {
		key     string
		allowed bool
	}{
		"127.0.0.1":          {"node", true},
		"127.8.9.10":         {"node", true},
		"::1":                {"node", true},
		"192.0.2.7":          {"node", true},
		"::ffff:192.0.2.7":   {"node", true},
		"2001:db8::7":        {"node", true},
		"2001:db8::7%eth0":   {"node", true},
		"10.1.2.3":           {podUID, true},
		"::ffff:10.1.2.3":    {podUID, true},
		"10.1.2.4":           {"ip:10.1.2.4", false},
		"198.51.100.9":       {"ip:198.51.100.9", true},
		"2001:db8:1::9":      {"ip:2001:db8:1::9", true},
		"2001:db8:2::9":      {"ip:2001:db8:2::9", false},
		"::ffff:203.0.113.1": {"ip:203.0.113.1", false},
	} {
		a := netip.MustParseAddr(addr)
		if got := id.FromTCP(a); got.Key != want.key || got.Workload == "" {
			t.Errorf("%s: %+v, want the key %s", addr, got, want.key)
		}
		if got := id.Allowed(a); got != want.allowed {
			t.Errorf("%s: allowed %v, want %v", addr, got, want.allowed)
		}
	}
}

func TestLocalAddrsRefresh(t *testing.T) {
	gone := netip.MustParseAddr("192.0.2.7")
	l := NewLocalAddrs(gone)
	if err := l.Refresh(); err != nil {
		t.Fatal(err)
	}
	if l.Contains(gone) {
		t.Error("an address that no interface has any more is still the node's")
	}
	if !l.Contains(netip.MustParseAddr("127.0.0.1")) || !(*LocalAddrs)(nil).Contains(netip.MustParseAddr("::1")) {
		t.Error("the loopback is not the node's")
	}
}
