"""The rule with its real times, on a clock that the test moves."""

import unittest

from bellhop_client._agent import caller_hash, parse_proxy
from bellhop_client._rule import Rule, Tune, View


class Order(unittest.TestCase):
    def setUp(self):
        self.now, self.switches = 3600.0, []
        self.rule = Rule(Tune(), 0, lambda to, why: self.switches.append((to, why)), jitter=lambda: 0.5)

    def plan(self, remotes=2, **says):
        view = View(True, local=["L"], remote=["R%d" % i for i in range(remotes)], **says)
        return " ".join(t.endpoint + ("?" if t.check else "") for t in self.rule.plan(self.now, view))

    def home(self):
        start = self.now
        while self.rule.away:
            self.rule.probed(self.now, True)
            self.now += 0.125
            self.assertLess(self.now - start, 3600)
        return self.now - start - 0.125

    def test_order(self):
        self.assertEqual(self.plan(), "L R0 R1 L?")
        self.rule.suspect = True
        self.assertEqual(self.plan(), "L? R0 R1 L?")
        self.rule.leave(self.now, "refused", True)
        self.assertEqual(self.plan(), "R0 R1 L?")
        self.assertEqual(self.home(), 1.0)
        self.assertEqual(self.plan(), "L R0 R1 L?")
        self.assertEqual(self.switches, [("remote", "refused"), ("local", "healthy again")])

    def test_file_says_leave(self):
        for says in ({"state": "draining"}, {"state": "down"}, {"moved": True}, {"stale": True}):
            self.rule.away = False
            self.assertEqual(self.plan(**says), "R0 R1 L?")

    def test_start(self):
        for start, want in ((0, "R0 R1 R2 R3 R4"), (6, "R2 R3 R0 R1 R4"), (3, "R3 R0 R1 R2 R4")):
            self.rule.start = start
            self.assertEqual(self.plan(5), "L %s L?" % want)

    def test_backoff(self):
        self.rule.leave(self.now, "refused", True)
        for step in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0):
            self.rule.remote_refused(self.now, "R0")
            self.now += step * 0.99
            self.assertEqual(self.plan(), "R1 L?")
            self.now += step * 0.02
            self.assertEqual(self.plan(), "R0 R1 L?")
        self.rule.remote_refused(self.now, "R0")
        self.rule.remote_refused(self.now, "R1")
        self.assertEqual(self.plan(), "L? R1")
        self.rule.forget(["R1"])
        self.assertEqual(self.plan(), "R0 L?")

    def test_flapping_doubles(self):
        for want in (1, 2, 4, 8, 16, 32, 60, 60):
            self.rule.leave(self.now, "refused", True)
            self.assertEqual(self.home(), want)
            self.now += 10
        self.now += 60
        self.rule.leave(self.now, "refused", True)
        self.assertEqual(self.home(), 1)

    def test_down_for_long_does_not_double(self):
        self.rule.leave(self.now, "refused", True)
        for _ in range(100):
            self.now += 1
            self.rule.probed(self.now, False)
        self.assertEqual(self.home(), 1)

    def test_orderly_restarts_do_not_double(self):
        for _ in range(3):
            self.rule.leave(self.now, "draining", False)
            self.assertEqual(self.home(), 1)


class Environment(unittest.TestCase):
    def test_proxy(self):
        self.assertEqual(parse_proxy("[::1]:90, unix:/run/s,h:1"), [("tcp", ("::1", 90)), ("unix", "/run/s"), ("tcp", ("h", 1))])
        for bad in ("nowhere", "h:0", "unix:relative", ":80"):
            with self.assertRaisesRegex(ValueError, "BELLHOP_PROXY"):
                parse_proxy(bad)

    def test_hash(self):
        self.assertEqual(caller_hash("a"), 0xE40C292C)  # a test vector of FNV-1a, 32 bits
