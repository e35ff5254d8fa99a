package cluster

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Why is the evidence for keeping calls away from an endpoint: what was seen of it, and of its siblings at the same time
// in the same method for the same workload.
type Why struct {
	Reason    Reason
	Method    string
	Workloads []string

	Calls, Failed               uint32
	SiblingCalls, SiblingFailed uint32
	Time, SiblingTime           time.Duration // geometric means of reply times
	Connects                    int           // failed connects in a row
	Rule                        string        // that has the breaker
	Slow                        uint32        // calls that the breaker's rule calls slow

	slowFrom int64 // ns from which on the breaker's rule calls a probe slow; 0: never
}

// String says it in one line.
func (w *Why) String() string {
	who := strings.Join(w.Workloads, " and ")
	switch w.Reason {
	case ReasonErrors:
		if w.SiblingCalls == 0 {
			return fmt.Sprintf("%d of %d calls of %s failed, for two workloads: %s", w.Failed, w.Calls, w.Method, who)
		}
		return fmt.Sprintf("%d of %d calls of %s failed for %s; of its siblings' %d of %d", w.Failed, w.Calls, w.Method, who, w.SiblingFailed, w.SiblingCalls)
	case ReasonSlow:
		return fmt.Sprintf("%s takes %s for %s; its siblings take %s", w.Method, short(w.Time), who, short(w.SiblingTime))
	case ReasonConnect:
		return fmt.Sprintf("%d connects in a row failed, while siblings could be reached", w.Connects)
	case ReasonBreaker:
		return fmt.Sprintf("rule %s: of %d calls %d failed and %d were slow", w.Rule, w.Calls, w.Failed, w.Slow)
	case ReasonManual:
		return "opened by hand"
	}
	return "in use"
}

func short(d time.Duration) string {
	if d >= 10*time.Millisecond {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

// complaint is one workload's word against an endpoint, where nothing can be compared.
type complaint struct {
	workload uint64
	name     string
	at       int64
}

// differs reports whether an endpoint fails more than its siblings by more than chance would have it: by the logarithm of
// the likelihood ratio of two shares against a common one (Wilks' theorem: twice of it has about χ² of one degree of
// freedom). Six failures in a row are enough beside 24 calls of siblings that end well, eleven beside eleven.
func differs(failed, calls, siblingFailed, siblingCalls uint32) bool {
	a, n, b, m := float64(failed), float64(calls), float64(siblingFailed), float64(siblingCalls)
	if a*m <= b*n {
		return false
	}
	p := (a + b) / (n + m)
	return part(a, n, p)+part(n-a, n, 1-p)+part(b, m, p)+part(m-b, m, 1-p) >= leastLikely
}

func part(k, n, p float64) float64 {
	if k <= 0 {
		return 0
	}
	return k * math.Log(k/n/p)
}

// leastLikely is the logarithm of three millions: the question is asked at many calls, and of those that failed in a row.
const leastLikely = 15
