"""What is known of a call that failed. The words are those of the Go client and of the proxy's metrics."""

from thrift.Thrift import TApplicationException
from thrift.transport.TTransport import TTransportException

OK = "ok"                      # no error, or an exception that the IDL declares
UNSENT = "unsent"              # no byte was written; it did not run
LOST = "lost"                  # written, and no reply can come any more; it may have run
DEADLINE = "deadline"          # written, and no reply came in time; it may have run, or run later
NOT_EXECUTED = "not_executed"  # a proxy answered that it did not run the call
APP = "app"                    # the other side answered with a TApplicationException

LOADSHEDDING = 11


class BellhopError(TTransportException):
    """A call that failed on its way. kind is its class, target the proxy ("" when there was none)."""

    def __init__(self, kind, message, target="", timeout=False):
        number = TTransportException.NOT_OPEN if kind == UNSENT else TTransportException.END_OF_FILE
        if timeout or kind == DEADLINE:
            number = TTransportException.TIMED_OUT
        at = " at " + target if target else ""
        super().__init__(number, "bellhop: %s%s: %s" % (kind, at, message))
        self.kind = kind
        self.target = target
        self.timeout = timeout or kind == DEADLINE


def class_of(error):
    """The class of what a call raised; OK for None and for exceptions of the IDL."""
    if isinstance(error, BellhopError):
        return error.kind
    if isinstance(error, TApplicationException):
        if error.type == LOADSHEDDING and (error.message or "").startswith("not executed:"):
            return NOT_EXECUTED
        return APP
    return OK
