package file

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"time"
)

// follower reads a path now and whenever it changes, and has every content judged once.
type follower struct {
	path    string
	log     *slog.Logger
	opts    options
	readAll func(path string) (content, error)
	judge   func(content) // gets every content that is another one than before
	fail    func(error)   // gets why the bytes can't be had, once for each reason

	judged bool              // some content was
	digest [sha256.Size]byte // of the content judged last
	failed string            // why the bytes could not be had; "" when they could
	stamp  string            // how the files looked, and
	looked time.Time         // when
}

// run follows until ctx ends.
func (f *follower) run(ctx context.Context) {
	w := newWatch(f.path, f.log, f.opts)
	defer w.close()
	w.arm(f.path) // before the first read: a change in between is seen as an event
	for !f.read() {
		if !w.settle(ctx) {
			return
		}
	}
	for {
		interval := f.opts.poll
		if w.complete() {
			interval *= safetyRatio
		}
		look := time.NewTimer(interval)
		select {
		case <-ctx.Done():
			look.Stop()
			return
		case <-w.events():
			look.Stop()
		case <-look.C:
			if !f.changed() {
				w.arm(f.path) // the directories may be others, with the same files in them
				continue
			}
		}
		for again := true; again; again = !f.read() {
			if !w.settle(ctx) {
				return
			}
			w.arm(f.path)
		}
	}
}

// read takes in the files as they are now. It returns false when they changed meanwhile: what was read is then not to be
// judged, for it may be half of one content and half of another.
func (f *follower) read() bool {
	f.stamp, f.looked = stamp(f.path), time.Now()
	c, err := f.readAll(f.path)
	if stamp(f.path) != f.stamp {
		return false
	}
	if err != nil {
		if failed := err.Error(); failed != f.failed {
			f.failed = failed
			f.fail(err)
		}
		return true
	}
	if f.judged && f.failed == "" && c.digest == f.digest {
		return true
	}
	f.judged, f.failed, f.digest = true, "", c.digest
	f.judge(c)
	return true
}

// changed says whether the files look different from what was read. A file that was written just before it was read is
// read again: it may have changed once more within the same tick of the file system's clock.
func (f *follower) changed() bool {
	if stamp(f.path) != f.stamp {
		return true
	}
	age := f.looked.Sub(newest(f.path))
	return -racyAge < age && age < racyAge
}
