package proxy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/bellhop-mesh/bellhop/proxy/govern"
	"github.com/bellhop-mesh/bellhop/registry"
)

// echoRig is a worker with one caller and one endpoint whose replies are made without allocating.
func echoRig(tb testing.TB, mode string) (call func()) { return ruledRig(tb, mode, nil) }

// ruledRig is an echoRig with rules.
func ruledRig(tb testing.TB, mode string, rules *govern.Rules) (call func()) {
	r := newRig(tb, nil, &registry.Snapshot{Services: map[string]*registry.Service{
		"Echo": {Name: "Echo", Mode: mode, Endpoints: []registry.Endpoint{{Addr: "e1:1"}}},
	}})
	r.p.SetRules(rules)
	d := r.caller(&listener{ListenerConfig: ListenerConfig{Name: "test"}}, Identity{Source: "a"})
	request := frame("Echo:say", 1, 7, 1, string(bytes.Repeat([]byte("x"), 100)))
	d.bring(request)
	up := r.connected(r.dials[0], nil)
	reply := make([]byte, 0, 4096)
	answer := func() {
		reply = append(reply[:0], up.out...)
		up.out = up.out[:0]
		reply[7] = 2 // CALL becomes REPLY; the argument's field id is not looked at
		up.bring(reply)
		if len(d.out) != len(reply) || binary.BigEndian.Uint32(d.out[15-4+4:]) != 7 {
			tb.Fatalf("the caller got %x", d.out)
		}
		d.out = d.out[:0]
	}
	answer()
	return func() {
		r.now += 20_000
		d.bring(request)
		answer()
	}
}

// TestNoAllocation: a call through the data plane costs no allocation, in either mode.
func TestNoAllocation(t *testing.T) {
	for _, mode := range []string{"exclusive", "multiplexed"} {
		call := echoRig(t, mode)
		for range 3000 { // buffers and the call table grow once
			call()
		}
		if n := testing.AllocsPerRun(1000, call); n != 0 {
			t.Errorf("%s: %v allocations a call, want 0", mode, n)
		}
	}
}

// everyRule is rules of which some always match, some depend on the call, and some limit it.
const everyRule = `version: 1
rules:
  - {name: by version, match: {version: "~[a-z]+"}, access: deny}
  - {name: by caller, match: {not: {caller: nobody}}, deadline: 500ms}
  - {name: by header, match: {header: {x: "*"}}, access: deny}
  - {name: rate, match: {service: Ec*}, limit: {rate: 1000000, burst: 1000, by: [source, method], over: queue}}
  - {name: flight, limit: {concurrency: 100, by: [workload, caller]}}
  - {name: own, match: {method: "~s.y"}, limit: {concurrency: 10}, retry: {idempotent: true}}
`

// TestNoAllocationWithRules: rules cost no allocation either, once a caller and its method are known.
func TestNoAllocationWithRules(t *testing.T) {
	for _, mode := range []string{"exclusive", "multiplexed"} {
		call := ruledRig(t, mode, parseRules(t, []byte(everyRule)))
		for range 3000 {
			call()
		}
		if n := testing.AllocsPerRun(1000, call); n != 0 {
			t.Errorf("%s: %v allocations a call, want 0", mode, n)
		}
	}
}

// BenchmarkRuledCall compares calls with and without rules.
func BenchmarkRuledCall(b *testing.B) {
	many := "version: 1\nrules:\n"
	for i := range 500 {
		many += fmt.Sprintf("  - {name: r%d, match: {service: [S%d, Echo], namespace: team%d, method: \"~get%d.*\"}, deadline: 1s}\n", i, i, i, i)
	}
	for name, text := range map[string]string{"none": "", "every": everyRule, "500": many} {
		b.Run(name, func(b *testing.B) {
			var rules *govern.Rules
			if text != "" {
				rules = parseRules(b, []byte(text))
			}
			call := ruledRig(b, "multiplexed", rules)
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
}

// TestNoAllocationInTurns: a call that waits for its source's turn costs none either.
func TestNoAllocationInTurns(t *testing.T) {
	k := newCrowd(t, nil)
	for i := range 60 {
		k.join(Identity{Source: fmt.Sprint(i % 3), Workload: fmt.Sprint(i % 2)}, 1, 100)
	}
	request := frame("Echo:say", 1, 1, 1, string(make([]byte, 100)))
	var replies []byte
	poll := func() {
		for _, m := range k.callers {
			m.conn.arrive(request)
		}
		k.settle()
		replies = append(replies[:0], k.up.out...)
		k.up.out = k.up.out[:0]
		for at := 0; at+8 < len(replies); at += 4 + int(binary.BigEndian.Uint32(replies[at:])) {
			replies[at+7] = 2
		}
		k.up.bring(replies)
		for _, m := range k.callers {
			m.conn.out = m.conn.out[:0]
		}
	}
	for range 200 {
		poll()
	}
	before := k.w.stats.deferred
	if n := testing.AllocsPerRun(200, poll); n != 0 {
		t.Errorf("%v allocations for 60 calls", n)
	}
	if k.w.stats.deferred-before < 2000 {
		t.Errorf("only %d of 12000 calls waited: this shows nothing", k.w.stats.deferred-before)
	}
}

// BenchmarkShared is a round of ten sources with eight calls each, against one source with the eighty: what sharing costs.
func BenchmarkShared(b *testing.B) {
	for _, sources := range []int{1, 10} {
		b.Run(fmt.Sprintf("sources=%d", sources), func(b *testing.B) {
			k := newCrowd(b, nil)
			for i := range 80 {
				k.join(Identity{Source: fmt.Sprint(i % sources), Workload: fmt.Sprint(i % sources)}, 1, 100)
			}
			k.now += 2 * sharedFor
			request := frame("Echo:say", 1, 1, 1, string(make([]byte, 100)))
			b.ReportAllocs()
			for b.Loop() {
				for _, m := range k.callers {
					m.conn.arrive(request)
				}
				k.settle()
				k.answer()
				for _, m := range k.callers {
					m.conn.out = m.conn.out[:0]
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(80*b.N), "ns/call")
		})
	}
}

func BenchmarkCall(b *testing.B) {
	for _, mode := range []string{"exclusive", "multiplexed"} {
		b.Run(mode, func(b *testing.B) {
			call := echoRig(b, mode)
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
}
