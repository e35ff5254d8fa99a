"""The caller's rule: which proxies a call tries, in which order. No socket and no clock: it is told the time."""

import random

LOCAL, REMOTE, FIXED = "local", "remote", "BELLHOP_PROXY"
SPREAD = 4  # so many of the ordered remote proxies share the callers of a host


class Tune:
    """The rule's times in seconds. Tests shorten them; docs/address-file.md names the real ones."""

    def __init__(self, **changed):
        self.hold, self.hold_max = 1.0, 60.0  # healthy probes for so long before local is used again
        self.steady = 60.0                    # local for so long without a failure: hold starts anew
        self.probe, self.probe_max = 0.2, 1.0
        self.back, self.back_max = 0.1, 5.0   # before a remote proxy that refused is tried again
        self.heartbeat = 0.1                  # no echo for so long is a refusal
        self.dial_local, self.dial_remote = 0.25, 1.0
        self.wait = 0.02                      # between looks for a file that is missing
        for name, value in changed.items():
            if not hasattr(self, name):
                raise TypeError("no such time: " + name)
            setattr(self, name, value)


class Target:
    """One place to try. check: a new connection exchanges the heartbeat first. again: local once more, after the remote
    tier refused; that is no reason to leave local."""

    __slots__ = ("endpoint", "tier", "check", "again")

    def __init__(self, endpoint, tier, check=False, again=False):
        self.endpoint, self.tier, self.check, self.again = endpoint, tier, check, again

    def __str__(self):
        net, addr = self.endpoint
        return "%s %s:%s" % (self.tier, net, addr if net == "unix" else "%s:%d" % addr)


class View:
    """What the address file says, in the rule's words. known: a good file was read."""

    def __init__(self, known=False, state="", moved=False, stale=False, local=(), remote=(), fixed=()):
        self.known, self.state, self.moved, self.stale = known, state, moved, stale
        self.local, self.remote, self.fixed = local, remote, fixed

    def leave_reason(self):
        """Why the file itself forbids the local tier, and whether that is a failure of it."""
        if self.state in ("down", "draining"):
            return self.state, False
        if self.moved:
            return "moved", False
        return ("stale lease", True) if self.stale else ("", False)


class Rule:
    """Not thread-safe: the Agent's lock is around it."""

    def __init__(self, tune, start, on_switch, jitter=random.random):
        self.tune, self.start, self.on_switch, self.jitter = tune, start, on_switch, jitter
        self.away = False       # local is not to be used, unless all else refuses
        self.suspect = False    # the next new local connection is checked
        self._returned = None   # when local was last taken back
        self._healthy = None    # since when probes succeed
        self._need = 0.0        # how long they must
        self._backoff = {}      # endpoint -> (until, step)

    def plan(self, now, view):
        """The targets of a call, best first. Empty when there is neither a file nor BELLHOP_PROXY."""
        if not view.known:
            return [Target(e, FIXED) for e in view.fixed]
        self.obey(now, view)
        out = []
        if not self.away:
            out += [Target(e, LOCAL, check=self.suspect) for e in view.local]
        ready, last = self._remotes(now, view.remote)
        out += [Target(e, REMOTE) for e in ready]
        out += [Target(e, LOCAL, check=True, again=True) for e in view.local]
        return out + [Target(e, REMOTE) for e in last]

    def _remotes(self, now, remote):
        """Those not in back-off, starting at this caller's own of the first four. With all of them in back-off, the
        one that comes out of it first is the last resort: to fail a call because of a guess would be worse than one
        more connect."""
        n = min(SPREAD, len(remote))
        order = [remote[(self.start % n + i) % n] for i in range(n)] + list(remote[n:]) if n else []
        ready = [e for e in order if now >= self._backoff.get(e, (0, 0))[0]]
        last = [] if ready or not order else [min(order, key=lambda e: self._backoff[e][0])]
        return ready, last

    def obey(self, now, view):
        why, failure = view.leave_reason()
        if why:
            self.leave(now, why, failure)
            self._healthy = None

    def leave(self, now, why, failure):
        """Goes over to the remote tier. A local tier that fails again soon after it was taken back has to be healthy
        for twice as long the next time."""
        if self.away:
            return
        self.away, self.suspect, self._healthy = True, True, None
        if self._returned is None or now - self._returned >= self.tune.steady:
            self._need = self.tune.hold
        elif failure:
            self._need = min(2 * self._need, self.tune.hold_max)
        self.on_switch(REMOTE, why)

    def probed(self, now, ok):
        """The result of one probe of the local tier while away."""
        if not self.away:
            return
        if not ok:
            if self._healthy is not None:
                self._need = min(2 * self._need, self.tune.hold_max)
            self._healthy = None
            return
        if self._healthy is None:
            self._healthy = now
        if now - self._healthy >= self._need:
            self.away = self.suspect = False
            self._healthy, self._returned = None, now
            self.on_switch(LOCAL, "healthy again")

    def remote_refused(self, now, endpoint):
        step = self._backoff.get(endpoint, (0, 0))[1]
        step = min(max(2 * step, self.tune.back), self.tune.back_max)
        self._backoff[endpoint] = (now + (0.5 + self.jitter()) * step, step)

    def remote_took(self, endpoint):
        self._backoff.pop(endpoint, None)

    def forget(self, remote):
        """Drops the back-off of proxies that the file does not list any more."""
        for endpoint in [e for e in self._backoff if e not in remote]:
            del self._backoff[endpoint]
