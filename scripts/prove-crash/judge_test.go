package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/client"
	"github.com/bellhop-mesh/bellhop/scripts/prove"
)

const sec = time.Second

// calm is two kills and a call that went well every 10 ms around them.
func calm() ([]kill, []call, *ledger) {
	kills := []kill{
		{at: 1 * sec, gone: 1*sec + time.Millisecond, onLocal: 1, onRemote: 1},
		{at: 4 * sec, gone: 4*sec + time.Millisecond, onLocal: 1, onRemote: 1},
	}
	l := &ledger{executed: map[string]int{}}
	var calls []call
	for at := 10 * time.Millisecond; at < 6*sec; at += 10 * time.Millisecond {
		c := call{id: at.String(), idempotent: len(calls)%2 == 0, start: at - 5*time.Millisecond, end: at}
		calls = append(calls, c)
		l.executed[c.id] = 1
	}
	return kills, calls, l
}

// TestJudge breaks one thing after the other, and each must fail.
func TestJudge(t *testing.T) {
	lost := func(idempotent bool, start time.Duration) call {
		return call{id: "new", idempotent: idempotent, start: start, end: start + 20*time.Millisecond, class: client.ClassLost, err: errors.New("cut")}
	}
	for _, c := range []struct {
		name  string
		spoil func(kills []kill, calls *[]call, l *ledger)
		fails string // a row, or nothing
	}{
		{"calm", func([]kill, *[]call, *ledger) {}, ""},
		{"lost in flight", func(_ []kill, calls *[]call, _ *ledger) { *calls = append(*calls, lost(false, sec-time.Millisecond)) }, ""},
		{"idempotent twice", func(_ []kill, calls *[]call, l *ledger) { l.executed[(*calls)[0].id] = 2 }, ""},
		{"lost after the kill", func(_ []kill, calls *[]call, _ *ledger) { *calls = append(*calls, lost(false, 2*sec)) }, "lost, not idempotent"},
		{"idempotent lost", func(_ []kill, calls *[]call, _ *ledger) { *calls = append(*calls, lost(true, sec-time.Millisecond)) }, "failed, idempotent"},
		{"unsent", func(_ []kill, calls *[]call, _ *ledger) {
			(*calls)[1].class, (*calls)[1].err = client.ClassUnsent, errors.New("refused")
		}, "unsent or not executed"},
		{"deadline", func(_ []kill, calls *[]call, _ *ledger) {
			(*calls)[1].class, (*calls)[1].err = client.ClassDeadline, errors.New("late")
		}, "otherwise"},
		{"twice", func(_ []kill, calls *[]call, l *ledger) { l.executed[(*calls)[1].id] = 2 }, "executed twice, not idempotent"},
		{"never executed", func(_ []kill, calls *[]call, l *ledger) { delete(l.executed, (*calls)[1].id) }, "not in the ledger"},
		{"another's reply", func(_ []kill, calls *[]call, l *ledger) { (*calls)[1].wrong = true }, "another call's reply"},
		{"gap", func(_ []kill, calls *[]call, _ *ledger) {
			kept := (*calls)[:0]
			for _, c := range *calls {
				if c.end <= 4*sec || c.end > 4*sec+150*time.Millisecond {
					kept = append(kept, c)
				}
			}
			*calls = kept
		}, "longest gap"},
		{"nobody was hit", func(kills []kill, _ *[]call, _ *ledger) { kills[1].awayTooSoon = true }, "found the callers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			kills, calls, l := calm()
			c.spoil(kills, &calls, l)
			table := prove.NewTable("prove-crash")
			judge(table, kills, &load{calls: calls}, l, false)
			var b bytes.Buffer
			code := table.Finish(&b)
			var failed []string
			for line := range strings.Lines(b.String()) {
				if strings.Contains(line, "FAILED") {
					failed = append(failed, line)
				}
			}
			switch {
			case c.fails == "" && code != 0:
				t.Errorf("failed:\n%s", b.String())
			case c.fails != "" && (code == 0 || len(failed) != 1 || !strings.Contains(failed[0], c.fails)):
				t.Errorf("want one failure, of %q:\n%s", c.fails, b.String())
			}
		})
	}
}

// TestLedger: what an Apache client calls is answered and written down.
func TestLedger(t *testing.T) {
	l, err := newLedger(0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.stop()
	c, err := net.Dial("tcp", l.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := thrift.NewTBinaryProtocolConf(thrift.NewTFramedTransportConf(thrift.NewTSocketFromConnConf(c, nil), nil), nil)
	tc := thrift.NewTStandardClient(p, p)
	for range 2 {
		var reply prove.Text
		if _, err := tc.Call(context.Background(), "put", &prove.Text{S: "a"}, &reply); err != nil || reply.S != "a" {
			t.Fatalf("%q, %v", reply.S, err)
		}
	}
	if n, m := l.times("a"), l.times("b"); n != 2 || m != 0 {
		t.Errorf("a ran %d times, b %d", n, m)
	}
}
