package kubernetes

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/klog/v2"
)

var logsTaken sync.Once

// takeLogs leads what client-go says by itself, a log of the whole process, into ours: most of it is about requests, which
// this package judges and tells better, so it comes as debug lines, and never as many as it likes.
func takeLogs(log *slog.Logger) {
	logsTaken.Do(func() { klog.SetSlogLogger(slog.New(&quiet{next: log.Handler(), room: &logRoom{}})) })
}

// The lines of client-go that pass.
const (
	logLines  = 10          // within
	logWindow = time.Minute // this
)

// quiet passes errors and warnings of client-go as debug lines, a bounded number a minute. Safe for concurrent use.
type quiet struct {
	next slog.Handler
	room *logRoom
}

type logRoom struct {
	mu      sync.Mutex
	began   time.Time
	lines   int
	dropped int
}

func (q *quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelInfo && q.next.Enabled(ctx, slog.LevelDebug)
}

func (q *quiet) Handle(ctx context.Context, r slog.Record) error {
	dropped, ok := q.room.take(r.Time)
	if !ok {
		return nil
	}
	c := slog.NewRecord(r.Time, slog.LevelDebug, clip(r.Message), r.PC)
	c.AddAttrs(slog.String("by", "client-go"))
	if dropped > 0 {
		c.AddAttrs(slog.Int("left_out", dropped))
	}
	r.Attrs(func(a slog.Attr) bool { c.AddAttrs(a); return true })
	return q.next.Handle(ctx, c)
}

// take says whether one more line has room, and how many had none in the time before.
func (l *logRoom) take(now time.Time) (dropped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.began) >= logWindow {
		dropped = l.dropped
		l.began, l.lines, l.dropped = now, 0, 0
	}
	if l.lines == logLines {
		l.dropped++
		return 0, false
	}
	l.lines++
	return dropped, true
}

func (q *quiet) WithAttrs(as []slog.Attr) slog.Handler { return &quiet{q.next.WithAttrs(as), q.room} }

func (q *quiet) WithGroup(name string) slog.Handler { return &quiet{q.next.WithGroup(name), q.room} }
