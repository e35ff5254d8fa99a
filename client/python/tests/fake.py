"""A proxy made by hand, with the modes of cases/README.md: it answers every call with its own name."""

import os
import socket
import struct
import threading

from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.Thrift import TApplicationException, TMessageType, TType
from thrift.transport.TTransport import TMemoryBuffer


class Fake:
    def __init__(self, name, net, directory):
        self.name, self.net = name, net
        self.addr = os.path.join(directory, name + ".sock") if net == "unix" else ("127.0.0.1", 0)
        self.calls = 0
        self.lock = threading.Lock()
        self.listener, self.fillers, self.conns, self.threads = None, [], set(), []
        self.mode = None
        self.set("serve")

    def set(self, mode):
        self.stop()
        self.mode = mode
        if mode == "gone":
            if self.net == "unix" and os.path.exists(self.addr):
                os.unlink(self.addr)
        elif mode == "full":
            self.fill()
        elif mode != "refuse":
            self.listen()

    def stop(self):
        with self.lock:
            if self.listener:
                try:
                    self.listener.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                self.listener.close()
                self.listener = None
            for s in self.fillers:
                s.close()
            self.fillers = []
            for s in self.conns:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        for t in self.threads:
            t.join()
        self.threads = []

    def listen(self):
        if self.net == "unix":
            if os.path.exists(self.addr):
                os.unlink(self.addr)
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        else:
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(self.addr)
        s.listen(64)
        self.addr, self.listener = s.getsockname(), s
        self.start(self.accept, s)

    def fill(self):
        """A listener without room: unix says EAGAIN, TCP is silent."""
        family = socket.AF_UNIX if self.net == "unix" else socket.AF_INET
        if self.net == "unix" and os.path.exists(self.addr):
            os.unlink(self.addr)
        s = socket.socket(family, socket.SOCK_STREAM)
        self.fillers.append(s)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(self.addr)
        s.listen(0)
        for _ in range(4):
            c = socket.socket(family, socket.SOCK_STREAM)
            c.setblocking(False)
            self.fillers.append(c)
            c.connect_ex(self.addr)

    def start(self, fn, *args):
        t = threading.Thread(target=fn, args=args, daemon=True)
        self.threads.append(t)
        t.start()

    def accept(self, listener):
        while True:
            try:
                c, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                if self.listener is not listener:
                    c.close()
                    return
                self.conns.add(c)
            self.start(self.serve, c)

    def serve(self, c):
        try:
            if self.mode == "hold":
                while c.recv(4096):
                    pass
                return
            while True:
                head = self.exactly(c, 4)
                n = struct.unpack("!I", head)[0]
                if n == 0:
                    c.sendall(head)
                    continue
                body = self.exactly(c, n)
                with self.lock:
                    self.calls += 1
                if not self.answer(c, body):
                    return
        except OSError:
            pass
        finally:
            with self.lock:
                self.conns.discard(c)
            c.close()

    @staticmethod
    def exactly(c, n):
        out = b""
        while len(out) < n:
            more = c.recv(n - len(out))
            if not more:
                raise OSError("closed")
            out += more
        return out

    def answer(self, c, body):
        if self.mode == "lose":
            return False
        name, kind, seqid = TBinaryProtocol(TMemoryBuffer(body)).readMessageBegin()
        service, colon, method = name.partition(":")
        if not colon:
            return False  # every test names a service
        if kind == TMessageType.ONEWAY:
            return True
        out = TMemoryBuffer()
        p = TBinaryProtocol(out)
        if self.mode in ("not_executed", "shed"):
            p.writeMessageBegin(method, TMessageType.EXCEPTION, seqid)
            TApplicationException(11, "not executed: draining" if self.mode == "not_executed" else "too busy").write(p)
        else:
            p.writeMessageBegin(method, TMessageType.REPLY, seqid)
            write_text(p, 0, self.name)
        data = out.getvalue()
        c.sendall(struct.pack("!I", len(data)) + data)
        return True


def write_text(p, field, s):
    p.writeStructBegin("text")
    p.writeFieldBegin("s", TType.STRING, field)
    p.writeString(s)
    p.writeFieldEnd()
    p.writeFieldStop()
    p.writeStructEnd()


def read_text(p, field):
    out = None
    p.readStructBegin()
    while True:
        _, kind, number = p.readFieldBegin()
        if kind == TType.STOP:
            p.readStructEnd()
            return out
        if number == field and kind == TType.STRING:
            out = p.readString()
        else:
            p.skip(kind)
        p.readFieldEnd()


class Client:
    """What the compiler generates for `service Case { string where(1: string s), oneway void tell(1: string s) }`."""

    def __init__(self, iprot, oprot=None):
        self._iprot, self._oprot, self._seqid = iprot, oprot or iprot, 0

    def where(self, s):
        self._send("where", TMessageType.CALL, s)
        p = self._iprot
        _, kind, _ = p.readMessageBegin()
        if kind == TMessageType.EXCEPTION:
            x = TApplicationException()
            x.read(p)
            p.readMessageEnd()
            raise x
        out = read_text(p, 0)
        p.readMessageEnd()
        return out

    def tell(self, s):
        self._send("tell", TMessageType.ONEWAY, s)

    def _send(self, name, kind, s):
        p = self._oprot
        p.writeMessageBegin(name, kind, self._seqid)
        write_text(p, 1, s)
        p.writeMessageEnd()
        p.trans.flush()
