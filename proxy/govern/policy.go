package govern

import "time"

// Policy is what the rules say of one call. Immutable: many calls share one. The zero Policy is that of a proxy without
// rules.
type Policy struct {
	Deadline time.Duration // of the call, whatever its caller and its service say; 0: not said
	Retry    *Retry        // nil: lost calls of idempotent methods, once
	Limits   []*Limit      // all that match; a call must pass every one
	Breaker  *Breaker      // nil: none
	Deny     bool          // access is denied
	Split    *Split        // nil: all endpoints
	Remote   bool          // to the remote tier, whoever serves the service here
	By       [NumActions]string
}

// Action is one kind of thing that a rule wants done. Each is decided on its own: the first rule that matches and speaks of
// it counts. Limits are the exception: all that match hold.
type Action uint8

// The actions.
const (
	ActDeadline Action = iota
	ActRetry
	ActLimit
	ActBreaker
	ActAccess
	ActSplit
	ActRemote
	NumActions = int(ActRemote) + 1
)

var actionWords = [NumActions]string{"deadline", "retry", "limit", "breaker", "access", "split", "remote"}

// String returns the rule's key for it.
func (a Action) String() string { return actionWords[a] }

// Retry says which calls are sent again, though they may have run, and how.
type Retry struct {
	On         Classes       // of ClassLost, ClassRaced, ClassDeadline, ClassBusy, ClassFailed
	Attempts   int           // besides the first, 1…5
	Backoff    time.Duration // the mean pause before the first; it doubles, with full jitter
	MaxBackoff time.Duration
	PerTry     time.Duration // an attempt is given up after it, where On has ClassDeadline; 0: never before the deadline
	Idempotent bool          // the methods that match may run twice, whatever the service says
}

// Breaker says when calls are kept from an endpoint or a method that fails or is slow.
type Breaker struct {
	Scope     Scope
	Window    time.Duration // what is looked at
	MinCalls  int           // fewer calls in the window prove nothing
	ErrorRate float64       // share of failed calls that opens it; 0: not looked at
	Slow      time.Duration // a call as slow as that counts as slow; 0: not looked at
	SlowRate  float64       // share of slow calls that opens it
	OpenFor   time.Duration // at first; it doubles while probes fail
	MaxOpen   time.Duration
	Probes    int     // calls that are let through half-open; all must end well
	MaxShare  float64 // of the endpoints that may be kept away from at once (Scope endpoint)
}

// Scope is what a breaker opens for.
type Scope uint8

// The scopes.
const (
	PerEndpoint Scope = iota // one endpoint of a service takes no calls
	PerMethod                // a method of a service is answered with a fault
)

// Split sends calls to parts of the endpoints, in proportion to their weights. One part is a subset.
type Split struct {
	Parts []Part
	Total int // the sum of weights
	// Sticky is the header or cookie key that keeps a caller's calls on one part; "": every call is drawn.
	Sticky string
}

// Part is some of the endpoints of a service.
type Part struct {
	Weight  int
	Version string            // "": any
	Labels  map[string]string // these, and perhaps others
	Zone    string            // "": any
	Key     string            // the same for the same endpoints: what a view of a cluster is kept by
	// Strict: where none of its endpoints is usable its calls get a fault; else all endpoints take them.
	Strict bool
}
