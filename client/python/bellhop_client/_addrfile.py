"""The address file: its format and a reader with a lease (docs/address-file.md is the specification)."""

import errno
import json
import os
import stat

DEFAULT_PATH = "/run/bellhop/pub/address"
MAX_SIZE = 64 << 10
DEFAULT_LEASE = 3.0
STATES = ("serving", "draining", "down")


class BadFile(ValueError):
    """Names the key that is wrong."""


def _whole(value):
    return isinstance(value, int) and not isinstance(value, bool)


class File:
    """The content of a good address file. local and remote are lists of (net, addr) with unix paths made whole."""

    def __init__(self, data, directory):
        if len(data) > MAX_SIZE:
            raise BadFile("address file: larger than %d bytes" % MAX_SIZE)
        try:
            top = json.loads(data.decode("utf-8"))
        except (ValueError, RecursionError) as e:
            raise BadFile("address file: %s" % e) from None
        if not isinstance(top, dict):
            raise BadFile("address file: not an object")
        if top.get("version") != 1:
            raise BadFile("address file: version: %r, want 1" % (top.get("version"),))
        self.instance = top.get("instance")
        if not isinstance(self.instance, str) or not self.instance:
            raise BadFile("address file: instance: missing")
        self.generation = top.get("generation")
        if not _whole(self.generation) or self.generation <= 0:
            raise BadFile("address file: generation: %r, want a positive number" % (self.generation,))
        self.state = top.get("state")
        if self.state not in STATES:
            raise BadFile("address file: state: %r, want one of %s" % (self.state, ", ".join(STATES)))
        lease = top.get("lease_ms") or 0
        if not _whole(lease) or lease and not 100 <= lease <= 600000:
            raise BadFile("address file: lease_ms: %r, want 100 to 600000" % (lease,))
        self.lease = lease / 1000.0 if lease else DEFAULT_LEASE
        self.local = _addrs(top, "local", directory)
        self.remote = _addrs(top, "remote", directory)
        self.move = _move(top)


def _list(top, key):
    value = top.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadFile("address file: %s: not a list" % key)
    return value


def _addrs(top, key, directory):
    entries = _list(top, key)
    if len(entries) > 16:
        raise BadFile("address file: %s: %d entries, at most 16" % (key, len(entries)))
    return [_addr(e, "%s[%d]" % (key, i), directory) for i, e in enumerate(entries)]


def _addr(entry, where, directory):
    net, addr = (entry.get("net"), entry.get("addr")) if isinstance(entry, dict) else (None, None)
    if not isinstance(addr, str):
        raise BadFile("address file: %s: want an object with net and addr" % where)
    if net == "unix":
        # A path that leaves the directory would point somewhere else in every guest.
        path = os.path.normpath(addr)
        if not addr or os.path.isabs(addr) or path.split("/")[0] == ".." or "\0" in addr:
            raise BadFile("address file: %s: addr: %r, want a path inside the file's own directory" % (where, addr))
        return ("unix", os.path.join(directory, path))
    if net == "tcp":
        return ("tcp", split_host_port(addr, "address file: %s: addr: %r" % (where, addr)))
    raise BadFile("address file: %s: net: %r, want unix or tcp" % (where, net))


def split_host_port(addr, what):
    """host:port, an IPv6 host in brackets -> (host, port)."""
    host, colon, port = addr.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise BadFile("%s, want brackets around an IPv6 host" % what)
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise BadFile("%s, want host:port with a port of 1 to 65535" % what)
    return (host, int(port))


def _move(top):
    out = {}
    for i, entry in enumerate(_list(top, "move")):
        key, ttl = (entry.get("key"), entry.get("ttl_ms", 0)) if isinstance(entry, dict) else (None, None)
        if not isinstance(key, str) or not key or not _whole(ttl) or ttl < 0:
            raise BadFile("address file: move[%d]: want a key and a ttl_ms that is not negative" % i)
        out[key] = max(ttl / 1000.0, out.get(key, 0))
    return out


class Reader:
    """Looks at the file when told to. The lease runs on mono; wall is asked once, at the first look. Not thread-safe:
    the Agent's lock is around it."""

    def __init__(self, path, mono, wall):
        self.path, self._mono, self._wall = path, mono, wall
        self._dir = os.path.dirname(path)
        self._stamp = None
        self._looked = False
        self._aged = False
        self._fresh = 0.0
        self._read_at = 0.0
        self.file = None
        self.error = None

    def poll(self):
        """Reads the file again if its inode or mtime changed. An unreadable or bad one leaves the last good one."""
        now = self._mono()
        try:
            st = os.stat(self.path)
            if not stat.S_ISREG(st.st_mode):
                raise BadFile("address file: %s is not a regular file" % self.path)
            stamp = (st.st_dev, st.st_ino, st.st_mtime_ns, st.st_size)
            if stamp == self._stamp:
                return
            data, stamp, mtime = self._load()
        except (OSError, BadFile) as e:
            self.error, self._stamp = e, None
            return
        file = error = None
        try:
            file = File(data, self._dir)
        except BadFile as e:
            error = e
        self._renew(now, mtime, file.lease if file else DEFAULT_LEASE)
        self._stamp, self.error = stamp, error
        if file:
            old = self.file
            if not old or (old.instance, old.generation) != (file.instance, file.generation):
                self._read_at = now
            self.file = file

    def _load(self):
        fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as f:
            st = os.fstat(f.fileno())
            return f.read(MAX_SIZE + 1), (st.st_dev, st.st_ino, st.st_mtime_ns, st.st_size), st.st_mtime

    def _renew(self, now, mtime, lease):
        first, self._looked = not self._looked, True
        self._fresh, self._aged = now, False
        if first:
            age = self._wall() - mtime
            if age >= 0:
                self._fresh = now - age
            else:
                self._aged = -age > lease

    def stale(self):
        return self._aged or self._mono() - self._fresh > self.file.lease

    def moved(self, key):
        ttl = self.file.move.get(key) if key else None
        return ttl is not None and self._mono() - self._read_at < ttl

    def missing(self):
        return self.file is None and isinstance(self.error, OSError) and self.error.errno == errno.ENOENT
