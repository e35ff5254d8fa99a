"""Whole calls: sent again elsewhere where the caller's rule allows."""

from thrift.protocol.TBinaryProtocol import TBinaryProtocolAccelerated
from thrift.protocol.TCompactProtocol import TCompactProtocolAccelerated
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.Thrift import TApplicationException, TException
from thrift.transport.TTransport import TFramedTransport, TTransportException

from ._errors import LOST, NOT_EXECUTED, UNSENT, BellhopError, class_of
from ._transport import BellhopTransport

FRAMINGS = ("framed-binary", "framed-compact", "theader", "theader-compact")


def call(transport, fn, idempotent=False, timeout=None, again=None):
    """Runs fn, one call of a generated client over transport (a BellhopTransport), and runs it once more when a proxy
    answered that it did not execute it, or when it was lost and is idempotent. again, if given, runs before that: it
    replaces what holds half a message (TFramedTransport does)."""
    transport.begin(timeout)
    try:
        return _call(transport, fn, idempotent, again)
    finally:
        transport.end()


def _call(transport, fn, idempotent, again):
    error = _attempt(transport, fn)
    if not isinstance(error, Exception):
        return error[0]
    kind = class_of(error)
    if transport.expired() or not (kind == NOT_EXECUTED or kind == LOST and idempotent and not _final(error)):
        raise error
    transport.agent.count("resent_not_executed" if kind == NOT_EXECUTED else "resent_lost")
    # From here on: elsewhere. With nobody else, an idempotent call goes to whoever is there now.
    for avoid in ((transport.endpoint,), ()) if kind == LOST else ((transport.endpoint,),):
        if again:
            again()
        transport.avoid(avoid)
        second = _attempt(transport, fn)
        if not isinstance(second, Exception):
            return second[0]
        if class_of(second) != UNSENT:
            raise second
    raise error


def _attempt(transport, fn):
    """(result,) or the exception. Whatever is not an answer leaves the connection in doubt: it is dropped."""
    try:
        return (fn(),)
    except BellhopError as e:
        return e
    except TApplicationException as e:
        if class_of(e) != NOT_EXECUTED and e.type in (
                TApplicationException.WRONG_METHOD_NAME, TApplicationException.BAD_SEQUENCE_ID):
            transport.drop()  # not the reply to this call
        return e
    except (EOFError, TTransportException) as e:
        transport.drop()
        return _Unreadable(LOST, "reply: %s" % (e or "cut off"))
    except TException as e:
        if not _declared(e):
            transport.drop()
        return e
    except BaseException:
        transport.drop()
        raise


class _Unreadable(BellhopError):
    """A reply that can't be read: the call ran, or something is wrong that another attempt does not mend."""


def _final(error):
    return isinstance(error, _Unreadable)


def _declared(e):
    """An exception of the IDL, not one of the library's: the call was answered, and the answer read to its end."""
    return isinstance(e, TException) and type(e).__module__.split(".")[0] not in ("thrift", __package__)


class _Client:
    """A generated client whose methods follow the caller's rule. Attributes are those of the generated client."""

    def __init__(self, make, service, framing, idempotent, timeout, agent):
        self._make, self._service, self._framing = make, service, framing
        self._idempotent = frozenset(idempotent)
        self._transport = BellhopTransport(agent, timeout)
        self._transport.open()
        self._build()

    def _build(self):
        """New protocol objects: after a failure the old ones may hold half a message."""
        t = self._transport
        if self._framing.startswith("theader"):
            self._header = protocol = _theader(t, self._framing == "theader-compact")
        else:
            self._header = None
            framed = TFramedTransport(t)
            compact = self._framing == "framed-compact"
            protocol = TCompactProtocolAccelerated(framed) if compact else TBinaryProtocolAccelerated(framed)
            protocol = TMultiplexedProtocol(protocol, self._service) if self._service else protocol
        self._generated = self._make(protocol)

    def close(self):
        self._transport.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        getattr(self._generated, name)  # AttributeError for what the service does not have

        def method(*args, **kwargs):
            def fn():
                if self._header is not None:
                    self._keys()
                return getattr(self._generated, name)(*args, **kwargs)
            try:
                return call(self._transport, fn, name in self._idempotent, again=self._build)
            except BaseException as e:
                if not isinstance(e, TApplicationException) and not _declared(e):
                    self._build()  # an argument of a wrong type among them
                raise
        method.__name__ = name
        return method

    def _keys(self):
        self._header.clear_headers()
        if self._service:
            self._header.set_header(b"service", self._service.encode())
        self._header.set_header(b"timeout", str(max(int(self._transport.left() * 1000), 1)).encode())


def _theader(transport, compact):
    from thrift.protocol.THeaderProtocol import THeaderProtocol
    from thrift.transport.THeaderTransport import THeaderClientType, THeaderSubprotocolID
    sub = THeaderSubprotocolID.COMPACT if compact else THeaderSubprotocolID.BINARY
    return THeaderProtocol(transport, [THeaderClientType.HEADERS], sub)


def open_client(client_class, service, framing="framed-binary", idempotent=(), timeout=1.0, agent=None):
    """A client of service, made of the class that the Thrift compiler generated. timeout is a call's, in seconds. It
    connects with the first call. One thread uses it at a time; close it, or use it in a with statement."""
    if framing not in FRAMINGS:
        raise ValueError("framing %r, want one of %s" % (framing, ", ".join(FRAMINGS)))
    return _Client(client_class, service, framing, idempotent, timeout, agent)
