package proxy

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
	"github.com/bellhop-mesh/bellhop/proxy/govern"
)

// This file keeps the last failed calls of every method, so that a person can be told what did happen to them
// (`bellhop explain`). Nothing of it is done for a call that ends well.
//
//	fail ─► said(text) ─► finish ─► record ─► failures.note ─► the method's ring, of records made once

// Room of a record's texts, in bytes: what is longer is clipped.
const (
	nameRoom = 128 // a service, a method, a source, a workload, a caller, a rule
	textRoom = 240 // the text of a fault
)

// failedCall is a record. Its texts are slices of one array that was made with it; they never grow.
type failedCall struct {
	at, took, queued                               int64 // worker clock and ns
	code                                           protocol.Code
	handed, oneway                                 bool
	service, method, source, workload, caller, why []byte
	rule                                           []byte
	tries                                          [keptTries]failedTry
	nTries                                         uint8 // offers to endpoints; the first keptTries of them are in tries
}

// keptTries is how many offers of one call a record has room for.
const keptTries = 6

// failedTry is one offer of a failed call to an endpoint. The strings are the endpoint's own.
type failedTry struct {
	network, addr string
	class         govern.Class
	turned        protocol.Code // why it could not take the call
	ended         bool          // class and took are known
	took          int64         // ns
}

// failureRing is the last failed calls of one method of one worker. Loop only.
type failureRing struct {
	of    *methodStats
	calls []failedCall
	next  int // the oldest, when all are in use
	used  int
	last  int64 // when one was noted, worker clock
}

// failures are a worker's rings. When they have all the records that they may have, the ring that has been quiet for
// longest is given to the next method. Loop only.
type failures struct {
	each  int // records of a ring
	most  int // rings
	rings []*failureRing
	why   []byte // text of the fault of the call that is about to be finished
}

func (f *failures) init(p *Proxy, workers int) {
	f.each = p.cfg.Limits.FailedCalls
	if f.each > 0 {
		f.most = max(1, p.cfg.Limits.FailedTotal/workers/f.each)
	}
	f.why = make([]byte, 0, textRoom)
}

// said notes why the call that is finished next has failed. Loop only.
func said[T ~string | ~[]byte](w *worker, text T) { w.failures.why = clip(w.failures.why, text) }

// clip copies as much of a text as dst has room for. It does not allocate.
func clip[T ~string | ~[]byte](dst []byte, text T) []byte {
	return append(dst[:0], text[:min(len(text), cap(dst))]...)
}

// noteFailure keeps a call that has failed. Its caller still waits: what there is to say of it is all there. It allocates
// for the first failure of a method only.
func (w *worker) noteFailure(c *call, code protocol.Code) {
	f := &w.failures
	if f.each == 0 {
		return
	}
	r := c.stats.failures
	if r == nil {
		r = f.ringFor(c.stats)
	}
	k := &r.calls[r.next]
	r.next = (r.next + 1) % len(r.calls)
	r.used = min(r.used+1, len(r.calls))
	r.last = w.now
	k.at, k.took, k.queued, k.code = w.now, w.now-c.start, c.queued, code
	k.handed, k.oneway = c.handed, c.oneway
	k.service, k.method = clip(k.service, c.to.Service), clip(k.method, c.to.Method)
	k.source, k.workload = clip(k.source, c.src.Source), clip(k.workload, c.src.Workload)
	k.caller, k.why = clip(k.caller, c.caller), clip(k.why, f.why)
	k.rule = clip(k.rule, c.decidedBy(code))
	f.why = f.why[:0]
	k.takeTries(c)
}

// takeTries copies what came of each offer of the call.
func (k *failedCall) takeTries(c *call) {
	k.nTries = c.tries.n
	for i, a := range c.tries.list[:min(int(c.tries.n), keptTries)] {
		k.tries[i] = failedTry{network: a.endpoint.Network, addr: a.endpoint.Addr, class: a.class, ended: a.ended, took: a.took, turned: a.turned}
	}
}

// decidedBy is the name of the rule because of which a call ended so; "": no rule.
func (c *call) decidedBy(code protocol.Code) string {
	if c.policy == nil {
		return ""
	}
	if code == protocol.CodeLimit && c.beyond != nil {
		return c.beyond.Rule
	}
	act, ok := actionOf(code)
	if !ok || code == protocol.CodeDeadline && c.policy.Deadline != c.allowed() { // another deadline was shorter
		return ""
	}
	return c.policy.By[act]
}

// actionOf is the action of rules that ends calls with this code.
func actionOf(code protocol.Code) (govern.Action, bool) {
	switch code {
	case protocol.CodeDenied:
		return govern.ActAccess, true
	case protocol.CodeLimit:
		return govern.ActLimit, true
	case protocol.CodeBreaker:
		return govern.ActBreaker, true
	case protocol.CodeSubset:
		return govern.ActSplit, true
	case protocol.CodeDeadline:
		return govern.ActDeadline, true
	}
	return 0, false
}

// ringFor makes a ring for a method, or takes the one that has been quiet for longest.
func (f *failures) ringFor(m *methodStats) *failureRing {
	var r *failureRing
	if len(f.rings) < f.most {
		r = newFailureRing(f.each)
		f.rings = append(f.rings, r)
	} else {
		r = slices.MinFunc(f.rings, func(a, b *failureRing) int { return cmp.Compare(a.last, b.last) })
		r.of.failures = nil
		r.next, r.used = 0, 0
	}
	r.of, m.failures = m, r
	return r
}

func newFailureRing(n int) *failureRing {
	r := &failureRing{calls: make([]failedCall, n)}
	for i := range r.calls {
		k := &r.calls[i]
		texts := [...]*[]byte{&k.service, &k.method, &k.source, &k.workload, &k.caller, &k.rule, &k.why}
		room := make([]byte, (len(texts)-1)*nameRoom+textRoom)
		for j, t := range texts[:len(texts)-1] {
			*t = room[j*nameRoom : j*nameRoom : (j+1)*nameRoom]
		}
		last := (len(texts) - 1) * nameRoom
		*texts[len(texts)-1] = room[last:last:len(room)]
	}
	return r
}

// kept is how many failed calls the worker remembers.
func (f *failures) kept() (n int) {
	for _, r := range f.rings {
		n += r.used
	}
	return n
}

// FailedCall is a call that ended otherwise than well, as it is remembered. Texts that were too long are clipped.
type FailedCall struct {
	At       time.Time   `json:"at"` // of its end
	Service  string      `json:"service"`
	Method   string      `json:"method"`
	Code     string      `json:"code"`
	Text     string      `json:"text,omitempty"` // of the fault, or of the server's exception
	Source   string      `json:"source"`
	Workload string      `json:"workload,omitempty"`
	Caller   string      `json:"caller,omitempty"` // the name that the frame claimed
	Rule     string      `json:"rule,omitempty"`   // that decided
	TookUS   int64       `json:"took_us"`
	QueuedUS int64       `json:"queued_us"` // of it, until it was its turn
	Handed   bool        `json:"handed_over"`
	Oneway   bool        `json:"oneway"`
	Attempts []FailedTry `json:"attempts"`      // in order
	More     int         `json:"more_attempts"` // that are not in the list
	Worker   int         `json:"worker"`
	code     protocol.Code
}

// FailedTry is one endpoint that a failed call was offered to.
type FailedTry struct {
	Endpoint string `json:"endpoint"`
	Class    string `json:"class"`          // what came of it; "turned_away": it could not take the call; "unknown": the call ended first
	Code     string `json:"code,omitempty"` // why it was turned away
	TookUS   int64  `json:"took_us"`
}

// Failed returns the last failed calls of a method, at most n of them, the newest first. method "": of all methods of the
// service; service "": of all services. The error says that a worker did not come round before ctx ended: what is there is
// returned all the same. Safe for concurrent use.
func (p *Proxy) Failed(ctx context.Context, service, method string, n int) ([]FailedCall, error) {
	parts := make(chan []FailedCall, len(p.workers))
	err := p.each(ctx, func(w *worker) { parts <- w.failed(service, method) })
	out := []FailedCall{}
	for len(parts) > 0 {
		out = append(out, <-parts...)
	}
	slices.SortStableFunc(out, func(a, b FailedCall) int { return b.At.Compare(a.At) })
	return out[:min(n, len(out))], err
}

// failed copies the records of a method on the loop, the newest first.
func (w *worker) failed(service, method string) (out []FailedCall) {
	for _, r := range w.failures.rings {
		for i := range r.used {
			k := &r.calls[(r.next-1-i+2*len(r.calls))%len(r.calls)]
			if (service == "" || string(k.service) == clipped(service)) && (method == "" || string(k.method) == clipped(method)) {
				out = append(out, k.told(w))
			}
		}
	}
	return out
}

func clipped(name string) string { return name[:min(len(name), nameRoom)] }

func (k *failedCall) told(w *worker) FailedCall {
	t := FailedCall{
		At: w.p.born.Add(time.Duration(k.at)), Service: legible(k.service), Method: legible(k.method), Code: k.code.String(), code: k.code,
		Text: legible(k.why), Source: legible(k.source), Workload: legible(k.workload), Caller: legible(k.caller), Rule: legible(k.rule),
		TookUS: k.took / 1000, QueuedUS: k.queued / 1000, Handed: k.handed, Oneway: k.oneway, Worker: w.id,
		Attempts: []FailedTry{}, More: max(0, int(k.nTries)-keptTries),
	}
	for _, a := range k.tries[:min(int(k.nTries), keptTries)] {
		class := "unknown"
		switch {
		case a.ended:
			class = a.class.String()
		case a.turned != protocol.CodeOK:
			class = "turned_away"
		}
		addr := a.addr
		if a.network == "unix" {
			addr = "unix:" + addr
		}
		t.Attempts = append(t.Attempts, FailedTry{Endpoint: addr, Class: class, Code: codeWord(a.turned), TookUS: a.took / 1000})
	}
	return t
}

func codeWord(c protocol.Code) string {
	if c == protocol.CodeOK {
		return ""
	}
	return c.String()
}

// legible is what callers and servers said, fit to be shown: a clipped letter is left out.
func legible(b []byte) string { return strings.ToValidUTF8(string(b), "") }
