"""A TTransportBase to whichever proxy the caller's rule names."""

import os
import socket
import time

from thrift.transport.TTransport import TTransportBase

from ._agent import default_agent, dial
from ._errors import DEADLINE, LOST, UNSENT, BellhopError
from ._rule import LOCAL

MAX_FRAME = 16 << 20
MAX_ATTEMPTS = 16  # of a call whose connections keep breaking before a byte was written


class BellhopTransport(TTransportBase):
    """Put a TFramedTransport (or a THeaderTransport) around it. One thread uses it at a time, one call is in flight.

    Between two messages it may change its connection: flush takes another when the proxy it used is gone or closing,
    and sends the message elsewhere when none of it was written. timeout (seconds) holds from flush, or from begin,
    until the reply is read."""

    def __init__(self, agent=None, timeout=1.0):
        self._agent = agent or default_agent()
        self.timeout = timeout
        self._out = bytearray()
        self._in = b""
        self._sock = None
        self._target = None
        self._pid = None
        self._open = False
        self._deadline = None      # of the call that is under way
        self._pinned = False       # _deadline is begin's: flush does not set its own
        self._avoid = ()

    # The parts of a call that the helpers in _calls need.

    def begin(self, timeout=None):
        """The deadline of all attempts of one call."""
        self._deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        self._pinned, self._avoid = True, ()

    def end(self):
        self._pinned, self._avoid = False, ()

    def avoid(self, endpoints):
        """The next flush goes to none of these endpoints."""
        self._avoid = tuple(endpoints)

    @property
    def agent(self):
        return self._agent

    @property
    def endpoint(self):
        """Where the last message went, None before the first."""
        return self._target.endpoint if self._target else None

    def left(self):
        """Seconds until the deadline of the call that is under way."""
        return self.timeout if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)

    def expired(self):
        return self._deadline is not None and time.monotonic() >= self._deadline

    # TTransportBase

    def isOpen(self):
        return self._open

    def open(self):
        """Connects nothing: the first flush does."""
        self._open = True

    def close(self):
        self.drop()
        self._out.clear()
        self._open = False

    def drop(self):
        """Lets the connection go; the next flush takes another."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        self._in = b""

    def write(self, buf):
        if not self._open:
            raise BellhopError(UNSENT, "the transport is not open")
        if len(self._out) + len(buf) > MAX_FRAME + 4:
            self._out.clear()
            raise BellhopError(UNSENT, "a message of more than %d bytes" % MAX_FRAME)
        self._out += buf

    def flush(self):
        if not self._out:
            return
        message = bytes(self._out)
        self._out.clear()
        if not self._pinned:
            self._deadline = time.monotonic() + self.timeout
        for _ in range(MAX_ATTEMPTS):
            self._connect()
            sent, error = self._send(message)
            if error is None:
                self._agent.written(self._target.tier)
                return
            self._fail()
            late = isinstance(error, socket.timeout)
            if sent:
                self._agent.written(self._target.tier)
                raise BellhopError(DEADLINE if late else LOST, error, str(self._target))
            if late:
                raise BellhopError(UNSENT, error, str(self._target), timeout=True)
            self._agent.count("resent_unsent")
        raise BellhopError(UNSENT, "every connection broke before the call was written")

    def read(self, sz):
        if self._in:
            out, self._in = self._in[:sz], self._in[sz:]
            return out
        if self._sock is None:
            raise BellhopError(LOST, "read without a call")
        try:
            self._sock.settimeout(self._left())
            data = self._sock.recv(max(min(sz, 1 << 16), 4096))
        except socket.timeout:
            self._fail()
            raise BellhopError(DEADLINE, "no reply in time", str(self._target)) from None
        except OSError as e:
            self._fail()
            raise BellhopError(LOST, e, str(self._target)) from None
        if not data:
            self._fail()
            raise BellhopError(LOST, "the proxy closed the connection", str(self._target))
        out, self._in = data[:sz], data[sz:]
        return out

    def readAll(self, sz):
        """Grows with the bytes that came, not with the length that was announced."""
        if not 0 <= sz <= MAX_FRAME:
            self._fail()
            raise BellhopError(LOST, "reply: a frame of %d bytes, want 0 to %d" % (sz, MAX_FRAME), str(self._target))
        out = bytearray()
        while len(out) < sz:
            out += self.read(sz - len(out))
        return bytes(out)

    # How it gets a connection.

    def _left(self):
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        return left

    def _send(self, message):
        """How many bytes were written, and the error or None."""
        sent = 0
        try:
            while sent < len(message):
                self._sock.settimeout(self._left())
                sent += self._sock.send(message[sent:] if sent else message)
        except OSError as e:
            return sent, e
        return sent, None

    def _fail(self):
        if self._target is not None and self._target.tier == LOCAL:
            self._agent.local_doubted()
        self.drop()

    def _alive(self):
        """Tells an idle connection from one that the proxy closed, or wrote to without being asked."""
        try:
            self._sock.setblocking(False)
            self._sock.recv(1, socket.MSG_PEEK)
            return False
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _usable(self):
        return (self._sock is not None and self._pid == os.getpid() and not self._in
                and self._target.endpoint not in self._avoid
                and self._alive() and self._agent.wanted(self._target))

    def _connect(self):
        if self._usable():
            return
        self.drop()
        refused, local_error = [], None
        for target in self._agent.targets(self._deadline):
            if local_error is not None and (target.tier != LOCAL or target.again):
                self._agent.local_refused(str(local_error))
                local_error = None
            if target.endpoint in self._avoid:
                continue
            try:
                self._sock = dial(self._agent, target, self._deadline)
            except OSError as e:
                if time.monotonic() >= self._deadline:
                    raise BellhopError(UNSENT, e, str(target), timeout=True) from None
                self._agent.refused(target)
                refused.append("%s: %s" % (target, e))
                if target.tier == LOCAL and not target.again:
                    local_error = e
                continue
            self._target, self._pid = target, os.getpid()
            return
        if refused:
            raise BellhopError(UNSENT, "every proxy refused: " + "; ".join(refused))
        raise BellhopError(UNSENT, "no other proxy to try")
