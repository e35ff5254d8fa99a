package interop

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/bellhop-mesh/bellhop/scripts/interop/gen-go/interop"
)

const (
	fieldsAtATime = 4
	victims       = 3                    // connections that call all the time
	strikes       = 5                    // how often each attack is tried
	victimPause   = 5 * time.Millisecond // after a call that failed
	victimCalls   = 10                   // calls that must have ended well after each strike
)

// Field is one place where attackers and victims meet: one server in one framing, by one pooling mode.
type Field struct {
	Service string
	Mode    string // exclusive or multiplexed
	To      Target
}

// Fields are the places of the proof: the servers that read on when they are lied to, in both framed protocols. Every
// service has one upstream connection, so that attackers and victims are sure to share it.
func Fields(targets []Target) []Field {
	var all []Field
	for _, t := range targets {
		if t.Lang == "node" || t.Framing != "framed-binary" && t.Framing != "framed-compact" {
			continue
		}
		for _, mode := range []string{"exclusive", "multiplexed"} {
			all = append(all, Field{Service: "isolation." + t.Lang + "." + t.Framing + "." + mode, Mode: mode, To: t})
		}
	}
	return all
}

// Meeting is one row of the table.
type Meeting struct {
	Field
	Attack     string
	Got        string // by the attacker, in its last try
	Calls      int64  // of the victims
	Errors     int64
	FirstError string
	Wrong      string // what fell short; empty when nothing did
}

// Isolate runs every attack on every field through the proxy at addr, while victims call, and prints the table to w.
// Several fields are fought over at a time; the rows come in order. An error is one of the proof's own; failed counts the
// rows that fell short.
func Isolate(ctx context.Context, addr string, fields []Field, w io.Writer) (failed int, err error) {
	fmt.Fprintf(w, "%-7s %-15s %-12s %-32s %-20s %7s %7s  ok\n", "server", "framing", "mode", "attack", "attacker got", "victim", "errors")
	type outcome struct {
		rows []Meeting
		err  error
	}
	done := make([]chan outcome, len(fields))
	slots := make(chan struct{}, fieldsAtATime)
	for i, f := range fields {
		done[i] = make(chan outcome, 1)
		go func() {
			slots <- struct{}{}
			rows, err := f.fight(ctx, addr)
			<-slots
			done[i] <- outcome{rows, err}
		}()
	}
	passed := 0
	for _, ch := range done {
		o := <-ch
		for _, m := range o.rows {
			fmt.Fprintln(w, m)
			if m.Wrong == "" {
				passed++
			} else {
				failed++
			}
		}
		err = errors.Join(err, o.err)
	}
	fmt.Fprintf(w, "prove-isolation: %d passed, %d failed\n", passed, failed)
	return failed, err
}

// fight tries every attack on one field.
func (f Field) fight(ctx context.Context, addr string) (rows []Meeting, err error) {
	v, err := newVictims(addr, f.Service)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Service, err)
	}
	defer v.stop()
	for _, a := range attacks() {
		if ctx.Err() != nil {
			return rows, ctx.Err()
		}
		rows = append(rows, v.meet(addr, f, a))
	}
	return rows, nil
}

// String is the row that is printed.
func (m Meeting) String() string {
	verdict := "ok"
	if m.Wrong != "" {
		verdict = "NO: " + m.Wrong
	}
	return fmt.Sprintf("%-7s %-15s %-12s %-32s %-20s %7d %7d  %s", m.To.Lang, m.To.Framing, m.Mode, m.Attack, m.Got, m.Calls, m.Errors, verdict)
}

// neighbours are the victims: other sources that call the same service over and over, and know what they must get.
type neighbours struct {
	secret string
	ends   context.CancelFunc
	wg     sync.WaitGroup
	calls  atomic.Int64
	errors atomic.Int64
	first  atomic.Pointer[string] // the first error since it was taken
}

func newVictims(addr, service string) (*neighbours, error) {
	ctx, cancel := context.WithCancel(context.Background())
	v := &neighbours{secret: "secret-" + rand.Text(), ends: cancel}
	for i := range victims {
		source := fmt.Sprintf("127.0.0.%d", 2+i)
		c, closer, err := victim(source, addr, service)
		if err != nil {
			v.stop()
			return nil, err
		}
		v.wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := v.call(ctx, c, i, n); err != nil {
					v.fail(err)
					_ = closer.Close()
					time.Sleep(victimPause) // a proxy that is gone is not called in a tight loop
					if c, closer, err = victim(source, addr, service); err != nil {
						v.fail(err)
						return
					}
				}
				v.calls.Add(1)
			}
			_ = closer.Close()
		})
	}
	return v, nil
}

func victim(source, addr, service string) (*interop.InteropClient, io.Closer, error) {
	conn, err := dialFrom(source, addr)
	if err != nil {
		return nil, nil, err
	}
	cfg := &thrift.TConfiguration{SocketTimeout: attackerPatience}
	trans := thrift.NewTFramedTransportConf(thrift.NewTSocketFromConnConf(conn, cfg), cfg)
	in := thrift.NewTBinaryProtocolConf(trans, cfg)
	out := thrift.NewTMultiplexedProtocol(in, service)
	return interop.NewInteropClient(thrift.NewTStandardClient(in, out)), conn, nil
}

// call makes one call and compares the answer with the only right one.
func (v *neighbours) call(ctx context.Context, c *interop.InteropClient, who, n int) error {
	if n%2 == 0 {
		got, err := c.Add(ctx, int64(who), int64(n))
		if err == nil && got != int64(who+n) {
			err = fmt.Errorf("add(%d, %d) = %d", who, n, got)
		}
		return err
	}
	want := fmt.Sprintf("%s-%d-%d", v.secret, who, n)
	got, err := c.EchoString(ctx, want)
	if err == nil && got != want {
		err = fmt.Errorf("echoString(%q) = %q", want, got)
	}
	return err
}

func (v *neighbours) fail(err error) {
	text := err.Error()
	v.first.CompareAndSwap(nil, &text)
	v.errors.Add(1)
}

func (v *neighbours) stop() {
	v.ends()
	v.wg.Wait()
}

// meet tries an attack several times and lets the victims call on after each.
func (v *neighbours) meet(addr string, f Field, a attack) Meeting {
	m := Meeting{Field: f, Attack: a.name}
	calls, errs := v.calls.Load(), v.errors.Load()
	v.first.Store(nil)
	for range strikes {
		got, closed, err := a.strike(addr, dialect{compact: f.To.Framing == "framed-compact"}, f.Service)
		var wrong string
		m.Got, wrong = a.judge(got, closed, v.secret)
		if err != nil {
			wrong = err.Error()
		}
		if wrong != "" && m.Wrong == "" {
			m.Wrong = wrong
		}
		if !v.goOn() && m.Wrong == "" {
			m.Wrong = "the victims' calls stopped"
		}
	}
	m.Calls, m.Errors = v.calls.Load()-calls, v.errors.Load()-errs
	if first := v.first.Load(); first != nil {
		m.FirstError = *first
		if m.Wrong == "" {
			m.Wrong = "victim: " + cut(m.FirstError)
		}
	}
	return m
}

// goOn waits until every victim has had the time for a few more calls, and reports whether they were made.
func (v *neighbours) goOn() bool {
	until, deadline := v.calls.Load()+victims*victimCalls, time.Now().Add(2*attackerPatience)
	for v.calls.Load() < until {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(time.Millisecond) // this is a wait for progress with a bound, not for luck
	}
	return true
}
