package zookeeper

import (
	"crypto/tls"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/bellhop-mesh/bellhop/scripts/zkensemble"
)

// TestDigest: nodes that only a digest may read and write: with it everything works, with another one, or none, the
// error says what was refused and where.
func TestDigest(t *testing.T) {
	e := servers(t)
	o, r := operate(t, e), root(t)
	if err := o.AddAuth("digest", []byte("shop:secret")); err != nil {
		t.Fatal(err)
	}
	mine := zk.DigestACL(zk.PermAll, "shop", "secret")
	for _, p := range []string{r, r + "/A", r + "/A/10.0.0.1:1"} {
		if _, err := o.Create(p, []byte("{}"), 0, mine); err != nil {
			t.Fatal(err)
		}
	}
	at1, more := Options{Path: r + "/{service}", Services: []string{"A"}}, at(Bellhop, r+"/{service}", "A", "10.0.0.2:1")
	w := watch(t, ClientConfig{Servers: e.Servers(), Digest: "shop:secret"}, at1)
	w.await("A", has("A", "10.0.0.1:1"))
	h := register(t, ClientConfig{Servers: e.Servers(), Digest: "shop:secret"}, RegistrarOptions{}, more)
	h.await("registered", inPlace(1))
	w.await("one more", has("A", "10.0.0.1:1", "10.0.0.2:1"))
	rules := read(t, ClientConfig{Servers: e.Servers(), Digest: "shop:secret"}, r+"/rules", 0)
	if err := rules.Put(t.Context(), []byte("one")); err != nil {
		t.Fatal(err)
	}
	rules.await("one")

	for _, digest := range []string{"shop:wrong", ""} {
		stranger := register(t, ClientConfig{Servers: e.Servers(), Digest: digest}, RegistrarOptions{}, at(Bellhop, r+"/{service}", "A", "10.0.0.3:1"))
		awaitText(t, func() string { return stranger.Stats().Problem },
			"write "+r+"/A/10.0.0.3:1: zk: not authenticated; the ACL of the node above does not let this digest create or delete nodes")
		s := New(stranger.client, at1, nil)
		_, err := s.client.children(t.Context(), r+"/A", false)
		if want := "list " + r + "/A: zk: not authenticated; the node's ACL does not let this digest list it"; fmt.Sprint(err) != want {
			t.Errorf("%q: %v", digest, err)
		}
		if stranger.client.lost.Load() != 0 {
			t.Error("a refusal cost the connection")
		}
	}
	if list := o.list(r + "/A"); slices.Contains(list, "10.0.0.3:1") {
		t.Errorf("a stranger has registered: %v", list)
	}
}

// TestCreatedACL: what others may do with nodes that are created is what the configuration says, on parents, too.
func TestCreatedACL(t *testing.T) {
	e := servers(t)
	for word, want := range map[string]string{
		"open":         "world:anyone:31",
		"creator":      "digest:shop:31",
		"creator-read": "digest:shop:31 world:anyone:1",
		"":             "digest:shop:31 world:anyone:1",
	} {
		t.Run("acl-"+word, func(t *testing.T) {
			o, r := operate(t, e), root(t)
			cc := ClientConfig{Servers: e.Servers(), Digest: "shop:secret", ACL: word}
			h := register(t, cc, RegistrarOptions{}, at(Bellhop, r+"/{service}", "A", "10.0.0.2:1"))
			h.await("registered", inPlace(1))
			d := read(t, cc, r+"/rules", 0)
			if err := d.Put(t.Context(), []byte("one")); err != nil {
				t.Fatal(err)
			}
			if err := o.AddAuth("digest", []byte("shop:secret")); err != nil {
				t.Fatal(err)
			}
			for _, p := range []string{r, r + "/A", r + "/A/10.0.0.2:1", r + "/rules"} {
				acl, _, err := o.GetACL(p)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, a := range acl {
					id, _, _ := strings.Cut(a.ID, ":")
					got = append(got, fmt.Sprintf("%s:%s:%d", a.Scheme, id, a.Perms))
				}
				slices.Sort(got)
				if s := strings.Join(got, " "); s != want {
					t.Errorf("%s: %s, want %s", p, s, want)
				}
			}
		})
	}
	for _, cc := range []ClientConfig{{Servers: "h:1", ACL: "creator"}, {Servers: "h:1", Digest: "no-colon"}} {
		if _, err := NewClient(cc); err == nil {
			t.Errorf("%+v was taken", cc)
		}
	}
}

// TestTLS: an ensemble with a port for TLS that asks for client certificates.
func TestTLS(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: no ensemble is started")
	}
	if why := zkensemble.Missing(); why != "" {
		t.Skip(why)
	}
	dir, err := os.MkdirTemp("", "bellhop-zk-tls-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	certs, err := zkensemble.MakeCertificates(dir)
	if err != nil {
		t.Fatal(err)
	}
	e, err := zkensemble.Start(dir, zkensemble.Options{Servers: 1, TLS: certs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	good := &tls.Config{RootCAs: certs.Authority, Certificates: []tls.Certificate{certs.Client}}
	cc := ClientConfig{Servers: e.SecureAddr(0), TLS: good, Digest: "shop:secret", ACL: "creator"}
	g := at(Bellhop, "/services/{service}", "A", "10.0.0.5:9090")
	h := register(t, cc, RegistrarOptions{}, g)
	h.await("registered", inPlace(1))
	w := watch(t, cc, Options{Path: "/services/{service}", Services: []string{"A"}})
	w.await("A", has("A", "10.0.0.5:9090"))
	e.Kill(0)
	if err := e.Restart(0); err != nil {
		t.Fatal(err)
	}
	if err := e.Await(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := h.Register(at(Bellhop, "/services/{service}", "A", "10.0.0.6:9090")); err != nil {
		t.Fatal(err)
	}
	w.await("one more, over a new connection", has("A", "10.0.0.5:9090", "10.0.0.6:9090"))
	plain := e.Addr(0)
	for what, c := range map[string]struct {
		addr string
		tls  *tls.Config
		want string
	}{
		"an authority that is not known": {e.SecureAddr(0), &tls.Config{Certificates: good.Certificates}, "certificate signed by unknown authority"},
		"another name":                   {e.SecureAddr(0), &tls.Config{RootCAs: certs.Authority, Certificates: good.Certificates, ServerName: "zk.example"}, "zk.example"},
		"no client certificate":          {e.SecureAddr(0), &tls.Config{RootCAs: certs.Authority}, "certificate"},
		"a port without TLS":             {plain, good, "the port is one without TLS"},
		"no TLS":                         {e.SecureAddr(0), nil, "the port is one for TLS"},
	} {
		t.Run(what, func(t *testing.T) {
			client, err := NewClient(ClientConfig{Servers: c.addr, TLS: c.tls, Session: 2 * time.Second, Log: testLog(t)})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			awaitText(t, client.Problem, c.want)
			t.Log(client.Problem())
		})
	}
}
