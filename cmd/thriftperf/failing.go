package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// failing makes an echo server fail as real ones do (--fail, --fail-bad), and counts. Its counters may be read by anybody.
//
//	internal-error   TApplicationException 6, with which most libraries answer for what a handler did not expect
//	loadshedding     TApplicationException 11: busy
//	declared         a result whose field 1 is set: an exception that the method declares
//	close            the connection ends instead of a reply
type failing struct {
	how   string
	share float64
	bad   bool
	calls atomic.Int64 // of the method echo
	fails atomic.Int64
	other atomic.Int64 // of other methods, such as the probes of a proxy
}

// parseFailing reads KIND or KIND:SHARE; "" is a server that fails nothing.
func parseFailing(word string, bad bool) (*failing, error) {
	f := &failing{bad: bad, share: 1}
	if word == "" {
		return f, nil
	}
	kind, share, ok := strings.Cut(word, ":")
	switch kind {
	case "internal-error", "loadshedding", "declared", "close":
		f.how = kind
	default:
		return nil, fmt.Errorf("--fail %q: write internal-error, loadshedding, declared or close, and perhaps :SHARE", word)
	}
	if ok {
		var err error
		if f.share, err = strconv.ParseFloat(share, 64); err != nil || f.share < 0 || f.share > 1 {
			return nil, fmt.Errorf("--fail %q: the share must be 0 to 1", word)
		}
	}
	return f, nil
}

var errFailing = errors.New("this server ends connections (--fail close)")

// judge counts a call and says how it is to fail; "": not. Calls of other methods than echo never do. Failures are spread evenly over the calls.
func (f *failing) judge(m *protocol.Message) string {
	if string(m.Method) != "echo" {
		f.other.Add(1)
		return ""
	}
	n := f.calls.Add(1)
	how := ""
	switch {
	case f.bad:
		if isBad(m) {
			how = "internal-error"
		}
	case f.how != "" && int64(float64(n)*f.share) > int64(float64(n-1)*f.share):
		how = f.how
	}
	if how != "" {
		f.fails.Add(1)
	}
	return how
}

// isBad reports whether the argument begins with badMark.
func isBad(m *protocol.Message) bool {
	head := 7 // 0B 00 01 length(4)
	if m.Payload == protocol.Compact {
		head = 2 // 18 length, which has a second byte from 128 on
		if len(m.Body) > 1 && m.Body[1] >= 0x80 {
			head = 3
		}
	}
	return len(m.Body) > head && m.Body[head] == badMark
}

// fail appends the reply of a call that fails. The error is the connection's.
func (e *echo) fail(how string, dst []byte, codec protocol.Codec) ([]byte, error) {
	switch m := &e.call; how {
	case "internal-error":
		return codec.AppendFault(dst, protocol.Fault{Code: protocol.CodeAppException, Message: "the handler failed"}, &e.to), nil
	case "loadshedding":
		return codec.AppendFault(dst, protocol.Fault{Code: protocol.CodeQueueFull, Message: "busy", Executed: true}, &e.to), nil
	case "declared":
		e.result = append(e.result[:0], 0x0c, 0, 1, 0, 0)
		if m.Payload == protocol.Compact {
			e.result = append(e.result[:0], 0x1c, 0, 0)
		}
		return e.respond(dst, codec)
	}
	return dst, errFailing
}

// countOnSignal prints how many calls of echo there were, how many of them failed, and how many others there were, at each SIGUSR1, until stop is closed.
func (f *failing) countOnSignal(out io.Writer, stop <-chan struct{}) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	defer signal.Stop(signals)
	for {
		select {
		case <-signals:
			_, _ = fmt.Fprintf(out, "calls %d failed %d others %d\n", f.calls.Load(), f.fails.Load(), f.other.Load())
		case <-stop:
			return
		}
	}
}
