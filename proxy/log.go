package proxy

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/bellhop-mesh/bellhop/protocol"
)

// accessLog writes sampled and slow calls, off the loops. Its queue is bounded: what does not fit is counted.
type accessLog struct {
	AccessLog
	log     *slog.Logger
	queue   chan accessEntry
	stopped chan struct{}
	dropped atomic.Uint64
	every   uint64 // one call in so many; 0: none
}

type accessEntry struct {
	service, method, source, endpoint string
	code                              protocol.Code
	took                              time.Duration
	slow                              bool
}

func newAccessLog(a AccessLog, log *slog.Logger) *accessLog {
	l := &accessLog{AccessLog: a, log: log, queue: make(chan accessEntry, a.Queue), stopped: make(chan struct{})}
	if a.Sample > 0 {
		l.every = uint64(max(1/a.Sample, 1))
	}
	return l
}

func (l *accessLog) start() {
	go func() {
		defer close(l.stopped)
		for e := range l.queue {
			l.log.Info("call", "service", e.service, "method", e.method, "source", e.source, "endpoint", e.endpoint,
				"code", e.code.String(), "took", e.took, "slow", e.slow)
		}
	}()
}

// stop writes what is queued and ends. The workers must have stopped.
func (l *accessLog) stop() {
	close(l.queue)
	<-l.stopped
}

// consider logs a call that is slow or in the sample. Loop only; it does not wait.
func (l *accessLog) consider(w *worker, c *call, code protocol.Code, took time.Duration) {
	w.stats.started++
	slow := l.Slow > 0 && took >= l.Slow
	if !slow && (l.every == 0 || w.stats.started%l.every != 0) {
		return
	}
	e := accessEntry{service: string(c.to.Service), method: string(c.to.Method), source: c.src.Source, code: code, took: took, slow: slow}
	if c.endpoint != nil {
		e.endpoint = c.endpoint.String()
	}
	select {
	case l.queue <- e:
	default:
		l.dropped.Add(1)
	}
}

// logSampler lets through at most ten lines a second: a hostile caller must not fill the disk.
type logSampler struct {
	second atomic.Int64
	n      atomic.Int32
}

func (s *logSampler) allow() bool {
	now := time.Now().Unix()
	if s.second.Swap(now) != now {
		s.n.Store(0)
	}
	return s.n.Add(1) <= 10
}

// logMalformed says what a peer sent that can't be understood.
func (p *Proxy) logMalformed(who peerOf, err error) {
	if p.sample.allow() {
		p.cfg.Log.Warn("malformed bytes", append(who.describe(), "error", err)...)
	}
}

// logClose says why a connection was closed; an ordinary end is worth a debug line only.
func (p *Proxy) logClose(side string, reason closeReason, err error, who peerOf) {
	level := slog.LevelDebug
	switch reason {
	case reasonDetect, reasonFrame, reasonWriteStall, reasonBytes, reasonStray, reasonBadReply, reasonStall:
		if p.sample.allow() {
			level = slog.LevelWarn
		}
	}
	if !p.cfg.Log.Enabled(context.Background(), level) {
		return
	}
	p.cfg.Log.Log(context.Background(), level, "connection closed", append(who.describe(), "side", side, "reason", string(reason), "error", err)...)
}

// peerOf describes one end of a connection for a log line.
type peerOf interface{ describe() []any }

func (d *downstream) describe() []any {
	out := []any{"listener", d.l.Name, "source", d.src.Source}
	if a := d.peer(); a != nil {
		out = append(out, "peer", a.String())
	}
	if d.codec != nil {
		out = append(out, "framing", d.codec.Framing().String())
	}
	return out
}

func (u *upstream) describe() []any {
	return []any{"service", u.pool.cluster.Name, "endpoint", u.endpoint.String()}
}

// peer returns the address for logs.
func (d *downstream) peer() net.Addr {
	if d.conn == nil {
		return nil
	}
	return d.conn.RemoteAddr()
}

// gnetLog has gnet's own lines in ours.
type gnetLog struct{ log *slog.Logger }

func (l gnetLog) Debugf(string, ...any)            {}
func (l gnetLog) Infof(string, ...any)             {}
func (l gnetLog) Warnf(format string, args ...any) { l.log.Debug("gnet: "+format, "args", args) }
func (l gnetLog) Errorf(format string, args ...any) {
	l.log.Debug("gnet: "+format, "args", args)
}

func (l gnetLog) Fatalf(format string, args ...any) {
	l.log.Error("gnet: "+format, "args", args)
}
