"""The file's format, and the reader's lease on clocks that the test moves."""

import json
import os
import pathlib
import tempfile
import unittest

from bellhop_client._addrfile import BadFile, File, Reader

GOOD = {
    "version": 1, "instance": "i", "generation": 7, "state": "serving", "lease_ms": 500,
    "local": [{"net": "unix", "addr": "call.sock"}, {"net": "tcp", "addr": "[::1]:9000"}],
    "remote": [{"net": "tcp", "addr": "192.0.2.1:9100"}],
    "move": [{"key": "pod-1", "ttl_ms": 30000}], "a key of tomorrow": {"x": 1},
}


def content(**changed):
    return json.dumps({k: v for k, v in dict(GOOD, **changed).items() if v is not None}).encode()


class Format(unittest.TestCase):
    def test_good(self):
        f = File(content(), "/mnt/pub")
        self.assertEqual(f.local, [("unix", "/mnt/pub/call.sock"), ("tcp", ("::1", 9000))])
        self.assertEqual(f.remote, [("tcp", ("192.0.2.1", 9100))])
        self.assertEqual((f.state, f.lease, f.move), ("serving", 0.5, {"pod-1": 30.0}))
        self.assertEqual(File(content(local=None, remote=None, move=None, lease_ms=None), "/x").lease, 3.0)

    def test_bad(self):
        tcp = {"net": "tcp", "addr": "192.0.2.1:1"}
        for data, want in (
            (b"", "address file"), (b"[]", "not an object"), (content()[:40], "address file"), (b"\xff", "address file"),
            (b"[" * 60000, "address file"), (content() + b" " * 70000, "larger than 65536"),
            (content(version=2), "version: 2, want 1"), (content(instance=None), "instance: missing"),
            (content(generation=-7), "generation: -7"), (content(generation=True), "generation: True"),
            (content(state="happy"), "state: 'happy'"), (content(lease_ms=5), "lease_ms: 5"),
            (content(lease_ms=-1), "lease_ms: -1"), (content(local="x"), "local: not a list"),
            (content(local=[1]), "local[0]"), (content(local=[{"net": "udp", "addr": "x"}]), "local[0]: net: 'udp'"),
            (content(local=[{"net": "unix", "addr": "/etc/x"}]), "'/etc/x'"),
            (content(local=[{"net": "unix", "addr": "a/../../x"}]), "inside the file's own directory"),
            (content(remote=[{"net": "tcp", "addr": "192.0.2.1"}]), "remote[0]: addr"),
            (content(remote=[{"net": "tcp", "addr": "192.0.2.1:0"}]), "remote[0]: addr"),
            (content(remote=[{"net": "tcp", "addr": "::1:90"}]), "brackets"),
            (content(remote=[tcp] * 17), "remote: 17 entries, at most 16"), (content(move=[{"key": ""}]), "move[0]"),
        ):
            with self.subTest(data[:80]), self.assertRaises(BadFile) as caught:
                File(data, "/x")
            self.assertIn(want, str(caught.exception))


class Lease(unittest.TestCase):
    def setUp(self):
        d = tempfile.TemporaryDirectory()
        self.addCleanup(d.cleanup)
        self.path = pathlib.Path(d.name) / "address"
        self.mono, self.wall = 3600.0, 1e6

    def put(self, **changed):
        tmp = self.path.with_suffix(".new")
        tmp.write_bytes(content(lease_ms=3000, **changed))
        os.replace(tmp, self.path)
        self.touch()

    def touch(self, ahead=0.0):
        os.utime(self.path, (self.wall + ahead, self.wall + ahead))

    def go(self, seconds):
        self.mono, self.wall = self.mono + seconds, self.wall + seconds

    def reader(self):
        r = Reader(str(self.path), lambda: self.mono, lambda: self.wall)
        r.poll()
        return r

    def stale(self, r):
        r.poll()
        return r.stale()

    def test_runs_on_the_readers_clock(self):
        self.put()
        r = self.reader()
        self.assertFalse(self.stale(r))
        self.go(3.0)
        self.assertFalse(self.stale(r))
        self.go(0.01)
        self.assertTrue(self.stale(r))
        self.touch()
        self.assertFalse(self.stale(r))
        self.wall -= 86400  # a step, and touches with the stepped clock
        self.go(2)
        self.touch()
        self.assertFalse(self.stale(r))
        self.go(4)
        self.assertTrue(self.stale(r))

    def test_first_look_takes_the_wall_clock(self):
        for ahead, want in ((-2, False), (-4, True), (2, False), (4, True), (86400, True)):
            self.put()
            self.touch(ahead)
            r = self.reader()
            self.assertEqual(self.stale(r), want, ahead)
            self.touch(ahead + 0.5)
            self.assertFalse(self.stale(r), ahead)

    def test_move_ends(self):
        self.put()
        r = self.reader()
        self.go(29.9)
        self.assertTrue(r.moved("pod-1"))
        self.assertFalse(r.moved("pod-2") or r.moved(""))
        self.go(0.2)
        self.assertFalse(r.moved("pod-1"))

    def test_last_good_is_kept(self):
        r = self.reader()
        self.assertTrue(r.missing())
        self.put()
        r.poll()
        self.path.write_bytes(b"{")
        r.poll()
        self.assertEqual(r.file.generation, 7)
        self.assertIsInstance(r.error, BadFile)
        self.path.unlink()
        r.poll()
        self.assertEqual(r.file.generation, 7)
        self.assertFalse(r.missing())
