"""What the callers of a process share: the address file's content, the rule's state, and the probe of the local tier."""

import errno
import logging
import os
import socket
import threading
import time
import weakref

from ._addrfile import DEFAULT_PATH, BadFile, Reader, split_host_port
from ._errors import UNSENT, BellhopError
from ._rule import FIXED, LOCAL, REMOTE, Rule, Tune, View

HEARTBEAT = b"\0\0\0\0"
_agents = weakref.WeakSet()


def parse_proxy(text):
    """BELLHOP_PROXY: host:port|unix:/path[,...]."""
    out = []
    for item in (text or "").split(","):
        item = item.strip()
        if item.startswith("unix:/"):
            out.append(("unix", item[len("unix:"):]))
        elif item.startswith("unix:"):
            raise ValueError("BELLHOP_PROXY: %r: want unix: and an absolute path" % item)
        elif item:
            try:
                out.append(("tcp", split_host_port(item, "BELLHOP_PROXY: %r" % item)))
            except BadFile as e:
                raise ValueError(str(e)) from None
    return out


def caller_hash(source):
    """FNV-1a, 32 bits, as every client does it. A caller without a key is its process."""
    h = 0x811C9DC5
    for b in (source or "%s:%d" % (socket.gethostname(), os.getpid())).encode():
        h = ((h ^ b) * 0x01000193) & 0xFFFFFFFF
    return h


class Agent:
    """Safe for all threads. After a fork the child's starts anew. It has no thread of its own: the local tier is probed
    in passing, by the calls that go elsewhere meanwhile, and never keeps one waiting."""

    def __init__(self, address_file=None, proxy=None, source=None, logger=None, tune=None):
        env = os.environ
        self.path = address_file or env.get("BELLHOP_ADDRESS_FILE") or DEFAULT_PATH
        self._fixed = parse_proxy(proxy or env.get("BELLHOP_PROXY"))
        self._source = source or env.get("BELLHOP_SOURCE") or ""
        self._log = logger or logging.getLogger("bellhop")
        self.tune = tune or Tune()
        self._reset()
        _agents.add(self)

    def _reset(self):
        self._lock = threading.Lock()
        self._reader = Reader(self.path, time.monotonic, time.time)
        self._rule = Rule(self.tune, caller_hash(self._source), self._switched)
        self._probe = None        # [socket, whether it was written, last looked at, waited] of a probe under way
        self._next_probe = 0.0
        self._wait = self.tune.probe
        self._generation = None
        self._stats = dict.fromkeys(
            ("local", "remote", "fixed", "switches", "refused", "heartbeats",
             "resent_unsent", "resent_not_executed", "resent_lost"), 0)

    def close(self):
        """Ends a probe that is under way. The agent may be used again."""
        with self._lock:
            self._end_probe()

    def stats(self):
        """Counts since the start, and whether calls go to the remote tier now (away)."""
        with self._lock:
            return dict(self._stats, away=self._rule.away)

    def count(self, name):
        with self._lock:
            self._stats[name] += 1

    def written(self, tier):
        self.count({LOCAL: "local", REMOTE: "remote", FIXED: "fixed"}[tier])

    def _switched(self, to, why):  # under the lock, once per switch
        self._stats["switches"] += 1
        self._wait, self._next_probe = self.tune.probe, 0.0
        self._log.info("bellhop: calls change tier: to=%s reason=%s address_file=%s", to, why, self.path)

    def _view(self):
        r = self._reader
        r.poll()
        if r.file is None:
            return View(fixed=self._fixed)
        if r.file.generation != self._generation:
            self._generation = r.file.generation
            self._rule.forget(r.file.remote)
        return View(True, r.file.state, r.moved(self._source), r.stale(), r.file.local, r.file.remote)

    def targets(self, deadline):
        """Where to try a call now. Waits for a missing file up to the deadline (on time.monotonic)."""
        while True:
            with self._lock:
                view = self._view()
                now = time.monotonic()
                out = self._rule.plan(now, view)
                if self._rule.away:
                    self._probe_in_passing(now, view)
                error = self._reader.error
            if out:
                return out
            if view.known:
                raise BellhopError(UNSENT, "address file %s lists no proxy" % self.path)
            left = deadline - time.monotonic()
            if left <= 0:
                raise BellhopError(
                    UNSENT, "no usable address file at %s and no BELLHOP_PROXY: %s" % (self.path, error), timeout=True)
            time.sleep(min(left, self.tune.wait))

    def wanted(self, target):
        """Would a call of now still go where this connection goes?"""
        with self._lock:
            view = self._view()
            now = time.monotonic()
            if view.known:
                self._rule.obey(now, view)
            if self._rule.away:
                self._probe_in_passing(now, view)
            if target.tier == FIXED:
                return not view.known
            listed = view.remote if target.tier == REMOTE else view.local
            return self._rule.away == (target.tier == REMOTE) and target.endpoint in listed

    def local_refused(self, why):
        with self._lock:
            self._rule.leave(time.monotonic(), why, True)

    def local_doubted(self):
        with self._lock:
            self._rule.suspect = True

    def dialled(self, target):
        with self._lock:
            if target.tier == REMOTE:
                self._rule.remote_took(target.endpoint)
            elif target.check and not self._rule.away:
                self._rule.suspect = False

    def refused(self, target):
        with self._lock:
            self._stats["refused"] += 1
            if target.tier == REMOTE:
                self._rule.remote_refused(time.monotonic(), target.endpoint)

    def _probe_in_passing(self, now, view):
        """Takes a probe of the local tier one step further without waiting: start it, or see whether it was echoed.
        While the file itself keeps callers away there is nothing to ask."""
        if not view.known or view.leave_reason()[0]:
            self._end_probe()
        elif self._probe is not None:
            self._finish_probe(now)
        elif now >= self._next_probe and view.local:
            self._start_probe(now, view.local)

    def _start_probe(self, now, local):
        for endpoint in local:
            s = None
            try:
                s, where = new_socket(endpoint)
                s.setblocking(False)
                code = s.connect_ex(where)
                if code == 0:
                    s.send(HEARTBEAT)
                if code in (0, errno.EINPROGRESS):
                    self._probe = [s, code == 0, now, 0.0]
                    return
            except OSError:
                pass
            if s is not None:
                s.close()
        self._probed(now, False)

    def _finish_probe(self, now):
        s, written, looked, _ = self._probe
        # Calls may be rare, and this process may have stood still: a long gap says little about the other side.
        self._probe[3] += min(now - looked, self.tune.heartbeat / 4)
        self._probe[2] = now
        try:
            if not written:
                s.send(HEARTBEAT)
                self._probe[1] = True
            ok = s.recv(5) == HEARTBEAT
        except BlockingIOError:
            if self._probe[3] < self.tune.heartbeat:
                return
            ok = False
        except OSError:
            ok = False
        self._end_probe()
        self._probed(now, ok)

    def _end_probe(self):
        if self._probe is not None:
            self._probe[0].close()
            self._probe = None

    def _probed(self, now, ok):
        self._wait = self.tune.probe if ok else min(2 * self._wait, self.tune.probe_max)
        self._next_probe = now + (0.75 + self._rule.jitter() / 2) * self._wait
        self._rule.probed(now, ok)


def new_socket(endpoint):
    """A socket for the endpoint and the address to connect it to. Only a host name asks the resolver."""
    net, addr = endpoint
    if net == "unix":
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), addr
    family, _, _, _, where = socket.getaddrinfo(addr[0], addr[1], type=socket.SOCK_STREAM)[0]
    s = socket.socket(family, socket.SOCK_STREAM)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s, where


def dial(agent, target, deadline):
    """Connects within the target's own time and the deadline, and asks for an echo first where the target says so."""
    limit = agent.tune.dial_local if target.tier == LOCAL else agent.tune.dial_remote
    s, where = new_socket(target.endpoint)
    try:
        # A proxy that is silent must not use up a call's time: half of what is left goes to each.
        s.settimeout(max(min(limit, (deadline - time.monotonic()) / 2), 0.001))
        s.connect(where)
        if target.check:
            _heartbeat(s, time.monotonic() + agent.tune.heartbeat)
            agent.count("heartbeats")
    except BaseException:
        s.close()
        raise
    agent.dialled(target)
    return s


def _heartbeat(s, deadline):
    """Four zero bytes each way. A listener that is held for a process that is gone accepts, and never answers."""
    got = b""
    try:
        s.settimeout(max(deadline - time.monotonic(), 0.001))
        s.sendall(HEARTBEAT)
        while len(got) < len(HEARTBEAT):
            s.settimeout(max(deadline - time.monotonic(), 0.001))
            more = s.recv(len(HEARTBEAT) - len(got))
            if not more:
                raise OSError("closed")
            got += more
    except OSError as e:
        raise OSError("no echo of the heartbeat: %s" % e) from None
    if got != HEARTBEAT:
        raise OSError("the heartbeat came back as %s" % got.hex())


_default = None
_default_lock = threading.Lock()


def default_agent():
    """The agent of this process, from the environment."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Agent()
        return _default


def _after_fork():
    """In the child: another thread may have held a lock, and the probe's connection is the parent's too."""
    global _default_lock
    _default_lock = threading.Lock()
    for agent in list(_agents):
        agent._end_probe()  # closes the child's descriptor only
        agent._reset()


os.register_at_fork(after_in_child=_after_fork)
