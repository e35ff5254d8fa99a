package identity

import (
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// remember keeps for a moment what the cgroup of a process said, so that a caller that connects for every call does not
// have its proc file read every time.
//
// A process is known by its pid and the inode of its pidfd. Where pidfds are files of pidfs (Linux 6.9 and later), the
// kernel gives each process an inode of its own, 64 bits wide, and never gives it out again: a pid that went to another
// process is another key. Elsewhere all pidfds share one inode, and nothing is remembered.
//
// A process can be moved to another cgroup, by who may write to both: the machine's own managers, not a source. What was
// read is believed for fresh and then read again. The user and the cluster's word on a pod are not remembered: those are
// asked at each connection.
//
// Safe for concurrent use. The zero value is ready.
type remember struct {
	mu    sync.Mutex
	known map[process]reading
	pidfs answer
}

const (
	fresh         = time.Second
	maxRemembered = 4096 // processes; some 150 bytes each
)

// process is one process, for all time.
type process struct {
	pid   int32
	inode uint64
}

// reading is what a cgroup file said; source is the zero value when it named nobody.
type reading struct {
	source Source
	at     time.Time
}

type answer uint8

const (
	unasked answer = iota
	yes
	no
)

// identify returns the process behind a pidfd; false where the kernel does not tell processes apart by it.
func (r *remember) identify(pid int32, pidfd int) (process, bool) {
	if pidfd < 0 || !r.usable(pidfd) {
		return process{}, false
	}
	var st unix.Stat_t
	if err := unix.Fstat(pidfd, &st); err != nil {
		return process{}, false
	}
	return process{pid, st.Ino}, true
}

// usable asks the kernel once whether its pidfds are files of pidfs. On 32-bit machines an inode's number is cut short.
func (r *remember) usable(pidfd int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pidfs == unasked {
		r.pidfs = no
		var fs unix.Statfs_t
		if err := unix.Fstatfs(pidfd, &fs); err == nil && fs.Type == unix.PID_FS_MAGIC && strconv.IntSize == 64 {
			r.pidfs = yes
		}
	}
	return r.pidfs == yes
}

// get returns what was read of a process a moment ago.
func (r *remember) get(p process, now time.Time) (Source, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found, ok := r.known[p]
	if !ok || now.Sub(found.at) >= fresh {
		return Source{}, false
	}
	return found.source, true
}

// put keeps what was read. When there is no room, what is old goes; when all is young, everything: reading again costs
// little.
func (r *remember) put(p process, s Source, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = make(map[process]reading)
	}
	if _, ok := r.known[p]; !ok && len(r.known) >= maxRemembered {
		for k, v := range r.known {
			if now.Sub(v.at) >= fresh {
				delete(r.known, k)
			}
		}
		if len(r.known) >= maxRemembered {
			clear(r.known)
		}
	}
	r.known[p] = reading{s, now}
}
