"""Runs ../../cases/*.json, the same as the Go client's tests; cases/README.md says what the keys mean."""

import json
import logging
import os
import pathlib
import tempfile
import time
import unittest

import bellhop_client
from bellhop_client._rule import Tune

from .fake import Client, Fake

CASES = pathlib.Path(__file__).resolve().parents[2] / "cases"
# The heartbeat has more time than the rule gives it: a slow machine must not make a live proxy look dead.
QUICK = dict(heartbeat=0.4, hold=0.1, probe=0.01, probe_max=0.02, back=0.02, back_max=0.1, wait=0.005)

logging.getLogger("bellhop").addHandler(logging.NullHandler())


class World:
    """The host of a scenario."""

    def __init__(self, case, directory):
        self.case, self.dir = case, pathlib.Path(directory)
        self.pub = self.dir / "pub"
        self.pub.mkdir()
        self.path = self.pub / "address"
        self.generation = 100
        self.clients = None
        self.servers = {name: Fake(name, net, str(self.pub)) for name, net in case["servers"].items()}
        if case.get("file"):
            self.publish(case["file"])

    def close(self):
        for c in (self.clients or {}).values():
            c.close()
        if self.clients:
            self.agent.close()
        for s in self.servers.values():
            s.set("gone")

    def put(self, content):
        tmp = self.pub / "address.new"
        tmp.write_text(content)
        os.replace(tmp, self.path)

    def addr(self, name):
        s = self.servers[name]
        if s.net == "unix":
            return {"net": "unix", "addr": os.path.basename(s.addr)}
        return {"net": "tcp", "addr": "%s:%d" % s.addr}

    def publish(self, f):
        self.generation += 1
        self.put(json.dumps({
            "version": 1, "instance": "case", "generation": self.generation,
            "state": f.get("state", "serving"), "lease_ms": f.get("lease_ms", 60000),
            "local": [self.addr(n) for n in f.get("local", [])],
            "remote": [self.addr(n) for n in f.get("remote", [])],
            "move": f.get("move", []),
        }))

    def start(self):
        if self.clients:
            return
        proxy = self.case.get("proxy", "")
        for name, s in self.servers.items():
            addr = "unix:" + s.addr if s.net == "unix" else "%s:%d" % s.addr
            proxy = proxy.replace("{%s}" % name, addr)
        self.agent = agent = bellhop_client.Agent(str(self.path), proxy, self.case.get("source"), tune=Tune(**QUICK))
        self.clients = {
            False: bellhop_client.open_client(Client, "Case", agent=agent),
            True: bellhop_client.open_client(Client, "Case", idempotent=["where"], agent=agent),
        }

    def call(self, idempotent, timeout):
        """Where it was answered, or its class; and the error."""
        self.start()
        c = self.clients[idempotent]
        c._transport.timeout = timeout
        try:
            return c.where("?"), None
        except Exception as e:
            return bellhop_client.class_of(e), e

    def step(self, s):
        do = s["do"]
        if do == "start":
            self.start()
        elif do == "call":
            for _ in range(s.get("times", 1)):
                got, error = self.call(s.get("idempotent", False), s.get("timeout_ms", 5000) / 1000)
                if got != s["want"] or s.get("error", "") not in str(error or ""):
                    raise AssertionError("%s (%s), want %s %s" % (got, error, s["want"], s.get("error", "")))
        elif do == "await":
            self.wait(s)
        elif do == "seen":
            got = self.servers[s["server"]].calls
            if got != s["calls"]:
                raise AssertionError("%s got %d calls, want %d" % (s["server"], got, s["calls"]))
        elif do == "mode":
            self.servers[s["server"]].set(s["mode"])
        elif do == "file":
            self.publish(s["file"])
        elif do == "raw":
            self.put(s["content"])
        elif do == "remove":
            self.path.unlink()
        elif do == "age":
            at = time.time() - s["seconds"]
            os.utime(self.path, (at, at))
        elif do == "replace_dir":
            self.pub.rename(self.dir / "pub.old")
            self.pub.mkdir()
        else:
            raise AssertionError("unknown step")

    def wait(self, s):
        end = time.monotonic() + s.get("timeout_ms", 30000) / 1000
        while True:
            got, error = self.call(False, 5)
            if got == s["want"]:
                return
            if error or time.monotonic() > end:
                raise AssertionError("last %s (%s), want %s" % (got, error, s["want"]))
            time.sleep(0.001)  # a caller's own pace; nothing waits for it


class Cases(unittest.TestCase):
    def test_cases(self):
        files = sorted(CASES.glob("*.json"))
        self.assertGreater(len(files), 15)
        for path in files:
            case = json.loads(path.read_text())
            with self.subTest(path.stem), tempfile.TemporaryDirectory() as d:
                w = World(case, d)
                try:
                    for i, s in enumerate(case["steps"]):
                        try:
                            w.step(s)
                        except AssertionError as e:
                            self.fail("step %d (%s): %s" % (i + 1, s["do"], e))
                finally:
                    w.close()


if __name__ == "__main__":
    unittest.main()
