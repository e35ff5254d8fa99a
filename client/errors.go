package client

import (
	"context"
	"errors"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"
)

// Class says what is known of a call that failed; whether it may be repeated follows from it.
type Class uint8

// The classes. Their words are those of the proxy's own metrics.
const (
	// ClassOK: no error, or an exception that the service's IDL declares: the call ran.
	ClassOK Class = iota
	// ClassUnsent: no byte of the call was written anywhere; it did not run.
	ClassUnsent
	// ClassLost: the call was written and no reply can come any more; it may have run.
	ClassLost
	// ClassDeadline: the call was written and no reply came in time, or before it was cancelled; it may have run, or
	// run later.
	ClassDeadline
	// ClassNotExecuted: a proxy answered that it did not run the call.
	ClassNotExecuted
	// ClassApp: the other side answered with a TApplicationException.
	ClassApp
)

var classWords = [...]string{"ok", "unsent", "lost", "deadline", "not_executed", "app"}

func (c Class) String() string { return classWords[c] }

// Error is a call that failed on its way. It is a thrift.TTransportException, as the errors of Thrift's own
// transports are. Exceptions that the other side answered with come as they are, not as an Error.
type Error struct {
	Class  Class
	Method string // as the caller named it, empty from a transport
	Target string // the proxy it was sent to, empty when there was none
	Cause  error
}

var _ thrift.TTransportException = (*Error)(nil)

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("bellhop: ")
	if e.Method != "" {
		b.WriteString(e.Method + ": ")
	}
	b.WriteString(e.Class.String())
	if e.Target != "" {
		b.WriteString(" at " + e.Target)
	}
	return b.String() + ": " + e.Cause.Error()
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Err is the cause, as thrift.TTransportException has it.
func (e *Error) Err() error { return e.Cause }

// TExceptionType makes it a transport exception.
func (e *Error) TExceptionType() thrift.TExceptionType { return thrift.TExceptionTypeTransport }

// TypeId is the nearest of Thrift's own numbers.
func (e *Error) TypeId() int {
	switch {
	case e.Timeout():
		return thrift.TIMED_OUT
	case e.Class == ClassUnsent:
		return thrift.NOT_OPEN
	case e.Class == ClassLost:
		return thrift.END_OF_FILE
	}
	return thrift.UNKNOWN_TRANSPORT_EXCEPTION
}

// Timeout reports whether time ran out, be it before the call was written or after.
func (e *Error) Timeout() bool {
	return errors.Is(e.Cause, context.DeadlineExceeded)
}

// notExecuted is what the message of a LOADSHEDDING begins with when the call did not run (docs/protocols.md).
const (
	notExecuted     = "not executed:"
	appLoadshedding = 11
)

// ClassOf tells the class of an error of a call, whoever wrapped it.
func ClassOf(err error) Class {
	if err == nil {
		return ClassOK
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	var app thrift.TApplicationException
	if errors.As(err, &app) {
		if app.TypeId() == appLoadshedding && strings.HasPrefix(app.Error(), notExecuted) {
			return ClassNotExecuted
		}
		return ClassApp
	}
	return ClassOK // an exception of the IDL
}
