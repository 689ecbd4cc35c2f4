"""What the conformance suite asks of a runtime in Python."""
import os
import time

from ts_filter_calls import RemoteError, serve


class Conformance:
    def __init__(self, init):
        self.given = init
        self.count = 0

    def init(self, _):
        return self.given

    def echo(self, payload):
        return payload

    def fail(self, _):
        raise RemoteError("NOPE", "no: ä€😀")

    def crash(self, _):
        raise ValueError("as it comes")

    def size(self, count):
        return b"x" * count

    def sleep(self, ms, call):
        if call.cancelled.wait(ms / 1000):
            self.count += 1
        return ms

    def cancelled(self, _):
        return self.count

    def hang(self, ms):
        time.sleep(ms / 1000)

    def exit(self, _):
        os._exit(3)


class Async(Conformance):
    """The same with methods on an event loop."""

    async def echo(self, payload):
        return payload


def bad(_):
    raise ValueError("bad init")


serve({"conformance": Conformance, "async": Async, "bad": bad})
