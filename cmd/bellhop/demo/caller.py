"""The demo's Python caller: a guest that comes in by the address file with bellhop_client and Apache Thrift.

Started with BELLHOP_ADDRESS_FILE. It says {"ready": true}, waits for a line on standard input, and calls until standard
input ends. Every quarter of a second it prints one line of JSON:

    {"local": [microseconds, ...], "remote": [microseconds, ...], "failed": ["why", ...], "gap": microseconds}
"""

import json
import logging
import sys
import threading
import time

from thrift.Thrift import TApplicationException, TMessageType, TType

import bellhop_client

PACE, TELL = 0.005, 0.25


class Greeter:
    """The client side of greeter.thrift, as the Thrift compiler would generate it."""

    def __init__(self, iprot, oprot=None):
        self._in, self._out, self._seq = iprot, oprot or iprot, 0

    def hello(self, name):
        self._seq += 1
        out = self._out
        out.writeMessageBegin("hello", TMessageType.CALL, self._seq)
        out.writeStructBegin("hello_args")
        out.writeFieldBegin("name", TType.STRING, 1)
        out.writeString(name)
        out.writeFieldEnd()
        out.writeFieldStop()
        out.writeStructEnd()
        out.writeMessageEnd()
        out.trans.flush()
        return self._reply()

    def _reply(self):
        _, kind, _ = self._in.readMessageBegin()
        if kind == TMessageType.EXCEPTION:
            error = TApplicationException()
            error.read(self._in)
            self._in.readMessageEnd()
            raise error
        success = None
        self._in.readStructBegin()
        while True:
            _, field, number = self._in.readFieldBegin()
            if field == TType.STOP:
                break
            if number == 0 and field == TType.STRING:
                success = self._in.readString()
            else:
                self._in.skip(field)
            self._in.readFieldEnd()
        self._in.readStructEnd()
        self._in.readMessageEnd()
        if success is None:
            raise TApplicationException(TApplicationException.MISSING_RESULT, "hello: no result")
        return success


class Caller:
    def __init__(self):
        self._agent = bellhop_client.Agent()
        self._greeter = bellhop_client.open_client(
            Greeter, "demo.Greeter", idempotent=["hello"], timeout=1.0, agent=self._agent)
        self._last = None  # when the last answer came
        self._clear()

    def _clear(self):
        self._told = time.monotonic()
        self._lines = {"local": [], "remote": [], "failed": [], "gap": 0}

    def call(self):
        before, start = self._agent.stats(), time.monotonic()
        try:
            self._greeter.hello("Python")
        except Exception as e:  # whatever it is, it is a call that failed: the demo counts it and shows why
            self._lines["failed"].append("%s: %s" % (bellhop_client.class_of(e), e))
            return
        end, after = time.monotonic(), self._agent.stats()
        went = {tier: after[tier] > before[tier] for tier in ("local", "remote")}
        tier = "remote" if went["remote"] and (after["away"] or not went["local"]) else "local"
        self._lines[tier].append(max(1, int((end - start) * 1e6)))
        self._gap(end)
        self._last = end

    def _gap(self, now):
        if self._last is not None:
            self._lines["gap"] = max(self._lines["gap"], int((now - self._last) * 1e6))

    def tell(self, last=False):
        if last:
            self._gap(time.monotonic())
        elif time.monotonic() - self._told < TELL:
            return
        print(json.dumps(self._lines, separators=(",", ":")), flush=True)
        self._clear()

    def close(self):
        self._greeter.close()
        self._agent.close()


def main():
    logging.disable(logging.WARNING)  # the switch between the tiers is what the demo is about
    caller, stop = Caller(), threading.Event()
    print('{"ready": true}', flush=True)
    if not sys.stdin.readline():
        return

    def wait_for_the_end():
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    due = time.monotonic()
    while not stop.is_set():
        caller.call()
        caller.tell()
        due = max(due + PACE, time.monotonic())
        stop.wait(due - time.monotonic())
    caller.tell(last=True)
    caller.close()


if __name__ == "__main__":
    main()
