"""Real connections: every framing against Apache's own server, threads, forks, and the transport by itself."""

import os
import tempfile
import threading
import time
import unittest

from thrift.protocol.TBinaryProtocol import TBinaryProtocolAcceleratedFactory, TBinaryProtocol
from thrift.protocol.TCompactProtocol import TCompactProtocolAcceleratedFactory
from thrift.protocol.THeaderProtocol import THeaderProtocolFactory
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.server.TServer import TThreadedServer
from thrift.Thrift import TApplicationException, TException, TMessageType, TProcessor
from thrift.TMultiplexedProcessor import TMultiplexedProcessor
from thrift.transport.THeaderTransport import THeaderClientType
from thrift.transport.TSocket import TServerSocket
from thrift.transport.TTransport import TFramedTransport, TFramedTransportFactory, TTransportFactoryBase

import bellhop_client
from bellhop_client._errors import BellhopError

from .fake import Client, read_text, write_text
from .test_cases import World


class Processor(TProcessor):
    """Generated code's processor: it answers with the argument and the keys of a THeader."""

    def process(self, iprot, oprot):
        name, _, seqid = iprot.readMessageBegin()
        s = read_text(iprot, 1)
        iprot.readMessageEnd()
        keys = dict(iprot.get_headers()) if hasattr(iprot, "get_headers") else {}
        if s == "boom":
            oprot.writeMessageBegin(name, TMessageType.EXCEPTION, seqid)
            TApplicationException(TApplicationException.INTERNAL_ERROR, "boom").write(oprot)
        else:
            oprot.writeMessageBegin(name, TMessageType.REPLY, seqid)
            write_text(oprot, 0, "%s %s %s" % (s, keys.get(b"service", b"-").decode(), b"timeout" in keys))
        oprot.writeMessageEnd()
        oprot.trans.flush()


def serve(framing):
    socket = TServerSocket("127.0.0.1", 0)
    socket.listen()
    socket.listen = lambda: None  # the server would listen again
    port = socket.handle.getsockname()[1]
    processor = TMultiplexedProcessor()
    processor.registerProcessor("Case", Processor())
    transports, protocols = TFramedTransportFactory(), TBinaryProtocolAcceleratedFactory()
    if framing == "framed-compact":
        protocols = TCompactProtocolAcceleratedFactory()
    elif framing.startswith("theader"):
        processor, transports = Processor(), TTransportFactoryBase()
        protocols = THeaderProtocolFactory([THeaderClientType.HEADERS])
    server = TThreadedServer(processor, socket, transports, protocols, daemon=True)
    threading.Thread(target=server.serve, daemon=True).start()
    return "127.0.0.1:%d" % port


class Framings(unittest.TestCase):
    def test_every_framing(self):
        for framing in ("framed-binary", "framed-compact", "theader", "theader-compact"):
            with self.subTest(framing):
                agent = bellhop_client.Agent("/nonexistent/address", serve(framing))
                with bellhop_client.open_client(Client, "Case", framing, timeout=5, agent=agent) as c:
                    keys = "Case True" if framing.startswith("theader") else "- False"
                    for s in ("bob", "", "long " * 20000):
                        self.assertEqual(c.where(s), s + " " + keys)
                    with self.assertRaises(TApplicationException) as caught:
                        c.where("boom")
                    self.assertEqual(bellhop_client.class_of(caught.exception), bellhop_client.APP)
                    self.assertEqual(c.where("after"), "after " + keys)
                self.assertEqual(agent.stats()["fixed"], 5)

    def test_unknown(self):
        with self.assertRaisesRegex(ValueError, "framing 'x'"):
            bellhop_client.open_client(Client, "Case", "x")


class Host(unittest.TestCase):
    def setUp(self):
        d = tempfile.TemporaryDirectory()
        self.addCleanup(d.cleanup)
        self.world = World({"servers": {"local": "unix", "r0": "tcp"},
                            "file": {"local": ["local"], "remote": ["r0"]}}, d.name)
        self.world.start()
        self.addCleanup(self.world.close)
        self.agent = self.world.agent

    def test_attributes(self):
        c = self.world.clients[False]
        with self.assertRaises(AttributeError):
            c.no_such_method
        self.assertEqual(c.where.__name__, "where")

    def test_oneway_and_the_connection_is_kept(self):
        c = self.world.clients[False]
        self.assertIsNone(c.tell("x"))
        self.assertEqual(c.where("x"), "local")
        self.assertEqual(self.world.servers["local"].calls, 2)
        self.assertEqual(len(self.world.servers["local"].conns), 1)

    def test_a_wrong_argument_leaves_nothing_behind(self):
        c = self.world.clients[False]
        with self.assertRaises(Exception) as caught:
            c.where(object())
        self.assertNotIsInstance(caught.exception, BellhopError)
        self.assertEqual(c.where("x"), "local")
        self.assertEqual(self.world.servers["local"].calls, 1)

    def test_a_declared_exception_keeps_the_connection(self):
        class Declared(TException):
            """What the compiler makes of `exception Declared {}`."""
        c = self.world.clients[False]
        with self.assertRaises(Declared) as caught:
            def fn():
                c._generated.where("x")
                raise Declared()
            bellhop_client.call(c._transport, fn, idempotent=True)
        self.assertEqual(bellhop_client.class_of(caught.exception), bellhop_client.OK)
        self.assertEqual(c.where("x"), "local")
        self.assertEqual(len(self.world.servers["local"].conns), 1)

    def test_deadline_leaves_nothing_behind(self):
        c = self.world.clients[False]
        self.world.servers["local"].set("hold")
        c._transport.timeout = 0.3
        with self.assertRaises(BellhopError) as caught:
            c.where("x")
        self.assertEqual(caught.exception.kind, bellhop_client.DEADLINE)
        self.assertTrue(caught.exception.timeout)
        self.world.servers["local"].set("serve")
        c._transport.timeout = 5
        self.assertEqual(c.where("x"), "local")

    def test_threads_share_an_agent(self):
        errors = []

        def work():
            with bellhop_client.open_client(Client, "Case", idempotent=["where"], timeout=5, agent=self.agent) as c:
                for _ in range(100):
                    try:
                        c.where("x")
                    except Exception as e:
                        errors.append(e)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        while self.agent.stats()["local"] < 50:
            time.sleep(0.001)
        self.world.servers["local"].set("gone")
        for t in threads:
            t.join()
        self.assertEqual(errors, [])
        stats = self.agent.stats()
        self.assertGreater(stats["remote"], 0)
        self.assertEqual(stats["switches"], 1)

    def test_fork(self):
        c = self.world.clients[False]
        self.assertEqual(c.where("x"), "local")
        ours = c._transport._sock.fileno()
        pid = os.fork()
        if pid == 0:
            # In the child: its own connection, its own agent's state; the parent's stays as it is.
            code = 1
            try:
                ok = c.where("x") == "local" and self.agent.stats()["local"] == 1
                code = 0 if ok else 2
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)
        self.assertEqual(c.where("x"), "local")
        self.assertEqual(c._transport._sock.fileno(), ours)
        self.assertEqual(self.world.servers["local"].calls, 3)

    def test_transport_under_ones_own_stack(self):
        t = bellhop_client.BellhopTransport(self.agent, timeout=5)
        framed = TFramedTransport(t)
        client = Client(TMultiplexedProtocol(TBinaryProtocol(framed), "Case"))
        with self.assertRaisesRegex(BellhopError, "not open"):
            client.where("x")
        framed = TFramedTransport(t)
        client = Client(TMultiplexedProtocol(TBinaryProtocol(framed), "Case"))
        framed.open()
        self.addCleanup(framed.close)
        self.assertEqual(client.where("x"), "local")
        self.world.servers["local"].set("not_executed")
        self.assertEqual(bellhop_client.call(t, lambda: client.where("x")), "r0")
        self.world.servers["local"].set("refuse")
        self.assertEqual(client.where("x"), "r0")

    def test_a_huge_reply_is_refused_by_its_length(self):
        t = bellhop_client.BellhopTransport(self.agent)
        for size in (-1, 1 << 30):
            with self.assertRaisesRegex(BellhopError, "a frame of"):
                t.readAll(size)
