#!/usr/bin/python3
"""The Python side of the interoperability matrix; scripts/interop/peer says what the command line and the lines mean.

Needs Debian's python3-thrift (or PyPI's thrift) and the code generated from interop.thrift on PYTHONPATH.
"""
import logging
import os
import socket
import sys
import threading
import time

from thrift import TMultiplexedProcessor
from thrift.protocol import TBinaryProtocol, TCompactProtocol, THeaderProtocol, TMultiplexedProtocol
from thrift.server import TServer
from thrift.Thrift import TApplicationException
from thrift.transport import TSocket, TTransport
from thrift.transport.THeaderTransport import THeaderSubprotocolID, THeaderTransformID

from interopgen import Interop, Later
from interopgen.ttypes import Color, Everything, InvalidOperation, Point, Shape

PATIENCE = 5.0  # seconds a caller waits for anything

FRAMINGS = (
    "binary", "compact", "framed-binary", "framed-compact", "framed-lax", "binary-lax",
    "theader-binary", "theader-compact", "theader-zlib",
)


class HeaderFactory:
    """THeader for one connection; a server answers in whatever the call came in."""

    def __init__(self, framing):
        self.compact = framing == "theader-compact"
        self.zlib = framing == "theader-zlib"

    def getProtocol(self, trans):
        proto = THeaderProtocol.THeaderProtocolFactory(
            default_protocol=THeaderSubprotocolID.COMPACT if self.compact else THeaderSubprotocolID.BINARY
        ).getProtocol(trans)
        if self.zlib:
            proto.add_transform(THeaderTransformID.ZLIB)
        return proto


def stack(framing):
    """The transport and protocol factories of a framing."""
    if framing not in FRAMINGS:
        raise ValueError("this peer has no framing %r" % framing)
    if framing.startswith("theader"):
        return TTransport.TBufferedTransportFactory(), HeaderFactory(framing)
    trans = TTransport.TFramedTransportFactory() if framing.startswith("framed") else TTransport.TBufferedTransportFactory()
    if framing.endswith("compact"):
        return trans, TCompactProtocol.TCompactProtocolAcceleratedFactory()
    if framing.endswith("lax"):  # without the version word: the accelerated protocol always writes it
        return trans, TBinaryProtocol.TBinaryProtocolFactory(strictRead=False, strictWrite=False)
    return trans, TBinaryProtocol.TBinaryProtocolAcceleratedFactory()


# ---- the sample, see interop.thrift

def shape():
    return Shape(
        centre=Point(1, -2, "c"), corners=[Point(0, 0), Point(3, 4, "far")], named={"a": Point(5, 6)},
        grid=[[1, 2], [], [3]], series={"s": [1, -1]})


def sample():
    return Everything(
        yes=True, no=False, tiny=-7, small=-12345, medium=123456789, large=2**53 + 1, least=-2**63, real=-0.1,
        text="grüße, 世界 🌍", raw=bytes(range(256)), color=Color.BLUE, bools=[True, False, False, True],
        flags={"on": True, "off": False}, longs=[0, -1, 1, 2**63 - 1, -2**63],
        reals=[0.5, -1.5, 3.141592653589793, 1e300], numbers={-3, 0, 2000000000}, words={"", "alpha", "beta"},
        names={-1: "minus", 0: "", 7: "seven"}, counts={"big": 1 << 40, "small": -2},
        lines=["line %d" % i for i in range(20)], colors=[Color.RED, Color.BLUE, Color.GREEN],
        blobs=[b"", b"\x00\xff", b"abc"], shape=shape(),
        noList=[], noSet=set(), noMap={}, noPoints=[], noText="", noRaw=b"",
        farYes=True, farNo=False, far=-5, back=60)


def differs(got, want):
    """Returns '' when both are equal, else the fields that are not."""
    if got == want:
        return ""
    if got is None:
        return "nothing arrived"
    fields = [k for k, v in want.__dict__.items() if got.__dict__.get(k) != v]
    return "; ".join("%s: got %r, want %r" % (k, getattr(got, k), getattr(want, k)) for k in fields)


# ---- the server

class Handler:
    def __init__(self):
        self.lock = threading.Lock()
        self.counts = {}

    def ping(self):
        pass

    def echoString(self, s):
        return s

    def echoEverything(self, e):
        return e

    def verify(self, e):
        return differs(e, sample())

    def sample(self):
        return sample()

    def add(self, a, b):
        return a + b

    def negate(self, b):
        return not b

    def half(self, d):
        return d / 2

    def nextColor(self, c):
        return {Color.RED: Color.GREEN, Color.GREEN: Color.BLUE}.get(c, Color.RED)

    def blob(self, b):
        return b

    def divide(self, a, b):
        if b == 0:
            raise InvalidOperation(22, "divide %d by zero" % a, {"a": str(a)})
        return a // b

    def notify(self, key):
        with self.lock:
            self.counts[key] = self.counts.get(key, 0) + 1

    def notified(self, key):
        with self.lock:
            return self.counts.get(key, 0)

    def fail(self):
        raise RuntimeError("failed on purpose")


class Bound(TSocket.TServerSocket):
    """A server socket that is bound before the server runs, so that port 0 can be told."""

    def __init__(self, addr):
        if addr.startswith("unix:"):
            super().__init__(unix_socket=addr[len("unix:"):])
        else:
            host, port = addr.rsplit(":", 1)
            super().__init__(host=host, port=int(port))
        super().listen()

    def listen(self):
        pass

    def name(self):
        name = self.handle.getsockname()
        return "unix:" + name if isinstance(name, str) else "%s:%d" % name[:2]


def serve(args):
    prefix, serves = "", []
    for flag, value in zip(args[::2], args[1::2]):
        if flag == "--service":
            prefix = value
        elif flag == "--serve":
            serves.append(value.split("=", 1))
        else:
            raise ValueError("unknown flag %s" % flag)
    handler = Handler()
    for framing, addr in serves:
        trans, proto = stack(framing)
        processor = TMultiplexedProcessor.TMultiplexedProcessor()
        processor.registerDefault(Interop.Processor(handler))
        if prefix:
            processor.registerProcessor("%s.%s" % (prefix, framing), Interop.Processor(handler))
        bound = Bound(addr)
        server = TServer.TThreadedServer(processor, bound, trans, proto, daemon=True)
        threading.Thread(target=server.serve, daemon=True).start()
        print("listening", framing, bound.name())
    print("ready", flush=True)
    sys.stdin.buffer.read()
    os._exit(0)


# ---- the caller

def expect(got, want):
    if got != want:
        raise AssertionError("got %r, want %r" % (got, want))


def echo(s):
    def check(c):
        got = c.echoString(s)
        if got != s:
            raise AssertionError("%d characters came back of %d, or other ones" % (len(got), len(s)))
    return check


def echo_everything(c):
    sent = sample()
    sent.yes, sent.no, sent.real, sent.text = False, True, 1e-300, ""
    sent.lines = sent.lines[:14]
    sent.absent = shape()
    expect(differs(c.echoEverything(sent), sent), "")


def add(c):
    expect(c.add(2**53 + 1, 41), 2**53 + 42)
    expect(c.add(-(2**53 + 1), -7), -(2**53 + 8))


def negate(c):
    expect(c.negate(True), False)
    expect(c.negate(False), True)


def next_color(c):
    expect(c.nextColor(Color.GREEN), Color.BLUE)
    expect(c.nextColor(Color.BLUE), Color.RED)


def blob(c):
    for b in (b"", bytes(range(256)) * 16):
        expect(c.blob(b), b)


def divide_by_zero(c):
    try:
        c.divide(7, 0)
    except InvalidOperation as bad:
        expect((bad.code, bad.why, bad.details), (22, "divide 7 by zero", {"a": "7"}))
        return
    raise AssertionError("want InvalidOperation, got a reply")


def app_exception(call, *types):
    try:
        call()
    except TApplicationException as e:
        if e.type not in types:
            raise AssertionError("TApplicationException type %r (%s), want one of %r" % (e.type, e.message, types))
        return
    raise AssertionError("want a TApplicationException, got a reply")


def later(c):  # servers in Node.js say UNKNOWN
    app_exception(lambda: c.later(1), TApplicationException.UNKNOWN_METHOD, TApplicationException.UNKNOWN)


def notify(key):
    def check(c):
        c.notify(key)
        begun = time.monotonic()
        while True:
            n = c.notified(key)
            if n == 1:
                return
            if n > 1 or time.monotonic() - begun > PATIENCE:
                raise AssertionError("the server counted %d" % n)
            time.sleep(0.005)
    return check


def checks(id):
    return (
        ("ping", lambda c: c.ping()),
        ("echo-text", echo("hello")),
        ("echo-empty", echo("")),
        ("echo-unicode", echo("grüße, 世界 🌍")),
        ("echo-large", echo("0123456789" * 10000)),
        ("echo-everything", echo_everything),
        ("verify", lambda c: expect(c.verify(sample()), "")),
        ("sample", lambda c: expect(differs(c.sample(), sample()), "")),
        ("add", add),
        ("negate", negate),
        ("half", lambda c: expect(c.half(-0.1), -0.05)),
        ("next-color", next_color),
        ("blob", blob),
        ("divide", lambda c: expect(c.divide(7, 2), 3)),
        ("divide-by-zero", divide_by_zero),
        ("fail", lambda c: app_exception(c.fail, TApplicationException.UNKNOWN, TApplicationException.INTERNAL_ERROR)),
        ("later", later),
        ("notify", notify("python-%s-%d" % (id, time.time_ns()))),
        ("add-again", add),
    )


class Naming:
    """A THeader protocol that names the service in every call's header: the library forgets headers at each flush."""

    def __init__(self, proto, service):
        self._proto, self._service = proto, service.encode()

    def __getattr__(self, name):
        return getattr(self._proto, name)

    def writeMessageBegin(self, name, kind, seqid):
        self._proto.set_header(b"service", self._service)
        return self._proto.writeMessageBegin(name, kind, seqid)


def connect(framing, addr, service):
    if addr.startswith("unix:"):
        sock = TSocket.TSocket(unix_socket=addr[len("unix:"):])
    else:
        host, port = addr.rsplit(":", 1)
        sock = TSocket.TSocket(host, int(port))
    sock.setTimeout(PATIENCE * 1000)
    make_trans, make_proto = stack(framing)
    trans = make_trans.getTransport(sock)
    proto = make_proto.getProtocol(trans)
    out = proto
    if service and framing.startswith("theader"):
        out = Naming(proto, service)
    elif service:
        out = TMultiplexedProtocol.TMultiplexedProtocol(proto, service)
    sock.open()
    sock.handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) if not addr.startswith("unix:") else None
    return sock, Later.Client(proto, out)


def run(id, framing, addr, service=""):
    name, sock = "connect", None
    try:
        sock, client = connect(framing, addr, service)
        all_checks = checks(id)
        for name, check in all_checks:
            check(client)
        return "%s ok %d" % (id, len(all_checks))
    except Exception as e:  # every failure is the line's answer
        return "%s FAIL %s: %s %s" % (id, name, type(e).__name__, " ".join(str(e).split()))
    finally:
        if sock is not None:
            sock.close()


def main():
    logging.disable(logging.CRITICAL)  # the library prints a traceback for every fail()
    if sys.argv[1:2] == ["server"]:
        serve(sys.argv[2:])
    elif sys.argv[1:2] == ["client"]:
        for line in sys.stdin:
            print(run(*line.split()), flush=True)
    else:
        sys.exit("usage: peer.py server|client …")


if __name__ == "__main__":
    main()
