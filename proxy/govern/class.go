package govern

// Class is how a call ended at its endpoint (product.md, "Failure classes"): what counts against the endpoint, and what may
// be sent again.
type Class uint8

// The classes.
const (
	ClassOK       Class = iota // a reply, or an exception that the method declares
	ClassCaller                // a TApplicationException that the caller caused: unknown method, bad arguments
	ClassBusy                  // LOADSHEDDING from the server: busy, not broken
	ClassFailed                // INTERNAL_ERROR, MISSING_RESULT, UNKNOWN, a system retCode, a reply that is not understood
	ClassConnect               // no connection could be opened: unsent
	ClassLost                  // written, and the connection ended without a reply
	ClassRaced                 // the same, on a connection that the peer closed while it was idle, at about the time of the write
	ClassDeadline              // no reply before the deadline
	NumClasses    = int(ClassDeadline) + 1
)

var classWords = [NumClasses]string{"ok", "caller", "busy", "failed", "connect", "lost", "raced", "deadline"}

// String returns the word used in rules, metrics and output.
func (c Class) String() string {
	if int(c) < NumClasses {
		return classWords[c]
	}
	return "invalid"
}

// Classes is a set of classes.
type Classes uint16

// Of returns the set of these classes.
func Of(classes ...Class) Classes {
	var s Classes
	for _, c := range classes {
		s |= 1 << c
	}
	return s
}

// Has reports whether the class is in the set.
func (s Classes) Has(c Class) bool { return s&(1<<c) != 0 }
