package proxy

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/registry"
)

// TestLastSuccess: a result counts, an exception of the framework does not; what is known outlives a change of tables,
// and is asked for by the address that the registry writes.
func TestLastSuccess(t *testing.T) {
	snap := func(more ...registry.Endpoint) *registry.Snapshot {
		return &registry.Snapshot{Services: map[string]*registry.Service{
			"Echo": {Name: "Echo", Balancer: "round-robin", Endpoints: append([]registry.Endpoint{{Addr: "e1:1"}}, more...)},
			"Sock": {Name: "Sock", Endpoints: []registry.Endpoint{{Addr: "e9:1"}, {Addr: "unix:/run/a.sock"}, {Addr: "a:1"}}},
		}}
	}
	r := newRig(t, nil, snap())
	d := r.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, Identity{Source: "a"})
	at := func(service, addr string) int64 {
		when := r.p.LastSuccess(service, addr)
		if when.IsZero() {
			return 0
		}
		return int64(when.Sub(r.p.born))
	}
	expect := func(what string, want int64) {
		t.Helper()
		if got := at("Echo", "e1:1"); got != want {
			t.Errorf("%s: the last success is at %d; want %d", what, got, want)
		}
	}
	d.bring(frame("Echo:say", 1, 7, 1, "x"))
	up := r.connected(r.dials[0], nil)
	expect("a connection alone", 0)
	up.bring(frame("say", thrift.EXCEPTION, lastSeq(up), 1, "no"))
	expect("an exception of the framework", 0)

	for i := range 3 { // the second comes within the grain
		r.now += int64(time.Second) * int64(i)
		if i == 1 {
			r.now -= int64(time.Second) - successMillis
		}
		d.bring(frame("Echo:say", 1, 8, 1, "x"))
		up.bring(frame("say", thrift.REPLY, lastSeq(up), 0, "x"))
		expect("a reply", []int64{1e9, 1e9, 3e9 + successMillis}[i])
	}
	r.setTable(snap(registry.Endpoint{Addr: "e0:1"}, registry.Endpoint{Addr: "e2:1"}))
	expect("another table", 3e9+successMillis)
	if e := r.p.Table().Lookup([]byte("Sock")).Find("unix:/run/a.sock"); e == nil || e.String() != "unix:/run/a.sock" {
		t.Errorf("found %v by the address of a unix socket", e)
	}
	for _, addr := range []string{"unix:/run/a.sock", "/run/a.sock", "a:1", "z:1"} {
		if got := at("Sock", addr); got != 0 {
			t.Errorf("%s: %d; want never", addr, got)
		}
	}
	if at("Nobody", "e1:1") != 0 || at("", "e1:1") != 0 {
		t.Error("a service that is not there, and no remote proxy, had a success")
	}
	r.setTable(&registry.Snapshot{})
	expect("the service has left", 0)
}

const successMillis = int64(50 * time.Millisecond)

// lastSeq takes what was sent to an endpoint, one call in strict binary, and returns its sequence.
func lastSeq(c *fakeConn) int32 {
	b := c.taken()
	name := binary.BigEndian.Uint32(b[8:])
	return int32(binary.BigEndian.Uint32(b[12+name:]))
}
