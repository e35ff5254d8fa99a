package remote

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/registry"
)

// TestHello: what the local proxy writes is what the remote proxy reads, and only the shared token or a verified
// certificate is admitted.
func TestHello(t *testing.T) {
	body := (&Client{Host: "h1", Instance: "i1", Token: "secret"}).AppendHello(nil)
	bare := (&Client{Host: "h1", Instance: "i1"}).AppendHello(nil)
	for _, c := range []struct {
		name     string
		srv      *Server
		body     []byte
		verified bool
		ok       bool
	}{
		{"the token", &Server{Token: "secret"}, body, false, true},
		{"another token", &Server{Token: "secret2"}, body, false, false},
		{"no token here", &Server{}, body, false, false},
		{"no token there", &Server{Token: "secret"}, bare, false, false},
		{"no token on either side", &Server{}, bare, false, false},
		{"a certificate", &Server{}, bare, true, true},
		{"a certificate and a wrong token", &Server{Token: "x"}, body, true, true},
		{"not a remote proxy", nil, body, true, false},
	} {
		h, err := c.srv.Admit(c.body, c.verified)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.srv != nil && (h.Version != Version || h.Host != "h1" || h.Instance != "i1") {
			t.Errorf("%s: read %+v", c.name, h)
		}
		if !c.ok && c.srv != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

// TestHelloOfAnotherVersion: is refused with both versions, its features are read and strange fields are skipped.
func TestHelloOfAnotherVersion(t *testing.T) {
	b := appendI32(nil, 1, 7)
	b = appendI64(b, 99, 1)
	b = append(b, tList, 0, 5, tString, 0, 0, 0, 2, 0, 0, 0, 1, 'a', 0, 0, 0, 2, 'b', 'c', 0)
	h, err := (&Server{}).Admit(b, true)
	if err == nil || !strings.Contains(err.Error(), "version 7") || fmt.Sprint(h.Features) != "[a bc]" {
		t.Fatalf("got %+v, %v", h, err)
	}
}

// TestGrant: survives both of its forms.
func TestGrant(t *testing.T) {
	for _, g := range []Grant{{}, {Calls: 1, Bytes: 2, Valid: 3 * time.Millisecond}, {Calls: math.MaxInt32, Bytes: math.MaxInt64, Valid: math.MaxInt32 * time.Millisecond}} {
		s := &Server{Grant: g}
		if got, err := ParseGranted(s.AppendGranted(nil)); err != nil || got != g {
			t.Errorf("reply to the hello: %+v became %+v, %v", g, got, err)
		}
		if got, err := ParseGrant(g.Value()); err != nil || got != g {
			t.Errorf("%s: %+v became %+v, %v", g.Value(), g, got, err)
		}
	}
	for _, bad := range []string{"", "1", "1,2", "a,2,3", "-1,2,3", "1,-2,3", "1,2,-3", "1,2,99999999999", "99999999999,1,1", "1,2,3x", "1,2,3,4"} {
		if g, err := ParseGrant([]byte(bad)); err == nil {
			t.Errorf("%q was read as %+v", bad, g)
		}
	}
}

// FuzzHello: no bytes make a hello or a grant panic, and what is not one well-formed struct is refused.
func FuzzHello(f *testing.F) {
	f.Add((&Client{Host: "h", Instance: "i", Token: "t"}).AppendHello(nil))
	f.Add((&Server{Grant: Grant{Calls: 1, Bytes: 2, Valid: time.Second}}).AppendGranted(nil))
	f.Add([]byte{tList, 0, 5, tString, 0, 0, 0, 2, 0, 0, 0, 1, 'a', 0, 0, 0, 2, 'b', 'c', 0})
	f.Add([]byte{tList, 0, 5, tStruct, 0xff, 0xff, 0xff, 0xff, 0})
	f.Add([]byte{tString, 0, 2, 0x7f, 0xff, 0xff, 0xff, 0})
	f.Add([]byte{tI32, 0, 2, 0, 0, 0, 1, 0})
	f.Add([]byte{tStruct, 0, 2, tI64, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var w protocol.Walker
		sound := protocol.WalkExact(protocol.Binary, b, &w) == nil
		h, err := (&Server{Token: "t"}).Admit(b, true)
		if err == nil && !sound {
			t.Fatalf("admitted %+v from what is not one struct", h)
		}
		if _, err := ParseGranted(b); err == nil && !sound {
			t.Fatal("a grant was read from what is not one struct")
		}
		_, _ = ParseGrant(b) // must not panic
	})
}

// TestOrder: is the same every time and from any order, spreads hosts evenly, and a remote proxy that goes moves its own
// hosts only.
func TestOrder(t *testing.T) {
	var all []registry.Remote
	for i := range 8 {
		all = append(all, registry.Remote{Addr: fmt.Sprintf("10.0.0.%d:7100", i)})
	}
	given := slices.Clone(all)
	first := map[string]int{}
	moved, of := 0, 0
	for i := range 4000 {
		host := fmt.Sprintf("host-%d", i)
		a := Order(host, all)
		first[a[0].Addr]++
		back := slices.Clone(all)
		slices.Reverse(back)
		if !slices.Equal(a, Order(host, back)) {
			t.Fatalf("%s: the order depends on the order given", host)
		}
		less := Order(host, all[1:])
		if a[0] == all[0] {
			of++
			if less[0] != a[1] {
				t.Fatalf("%s: its first is gone, got %s, want its second %s", host, less[0].Addr, a[1].Addr)
			}
		} else if less[0] != a[0] {
			moved++
		}
	}
	if moved > 0 || of == 0 {
		t.Errorf("%d hosts moved that had another first; %d had it", moved, of)
	}
	for addr, n := range first {
		if n < 400 || n > 600 {
			t.Errorf("%s is the first of %d hosts, want about 500", addr, n)
		}
	}
	if !slices.Equal(all, given) {
		t.Error("the input was changed")
	}
}

// TestHandsOff: bounds of this proxy go to the remote tier always, missing endpoints only where that is allowed, faults of
// the caller never.
func TestHandsOff(t *testing.T) {
	c := &Client{}
	for code := protocol.Code(0); int(code) < protocol.NumCodes; code++ {
		always := slices.Contains([]protocol.Code{
			protocol.CodeOK, protocol.CodeSourceCalls, protocol.CodeTotalCalls, protocol.CodeQueueFull,
			protocol.CodeLimit, protocol.CodeOverload, protocol.CodeSourceQueue, protocol.CodeDraining,
		}, code)
		may := slices.Contains([]protocol.Code{
			protocol.CodeNoEndpoint, protocol.CodeNoService, protocol.CodeConnect, protocol.CodeSourceLookups, protocol.CodeTotalLookups,
		}, code)
		if c.HandsOff(code, false) != always || c.HandsOff(code, true) != (always || may) {
			t.Errorf("%s: %t, with leave %t", code, c.HandsOff(code, false), c.HandsOff(code, true))
		}
		if (*Client)(nil).HandsOff(code, true) {
			t.Errorf("%s: handed off without a remote tier", code)
		}
	}
}
