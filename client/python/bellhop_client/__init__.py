"""The caller's side of bellhop for Apache Thrift in Python. README.md has the rules and an example.

    generated client -> protocol -> TFramedTransport -> BellhopTransport -> local proxy, or the remote tier
                                                              |
                                       Agent: address file, caller's rule (one per process, shared)
"""

from ._agent import Agent, default_agent
from ._calls import call, open_client
from ._errors import APP, DEADLINE, LOST, NOT_EXECUTED, OK, UNSENT, BellhopError, class_of
from ._transport import BellhopTransport

__all__ = [
    "APP", "DEADLINE", "LOST", "NOT_EXECUTED", "OK", "UNSENT",
    "Agent", "BellhopError", "BellhopTransport",
    "call", "class_of", "default_agent", "open_client",
]
