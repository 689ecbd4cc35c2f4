"""The Python end of PROTOCOL.md: serves the methods of plain objects to the host that has started this program."""
import asyncio
import contextlib
import inspect
import json
import os
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

VERSION = 1
MAX_FRAME = 16 << 20
HELLO, LOAD, CALL, ANSWER, ERROR, CANCEL, SHUTDOWN = range(1, 8)
NOTHING, BYTES, JSON = range(3)


class ProtocolError(Exception):
    """The host sent what is no frame, or what is not due. Ends the program."""


class RemoteError(Exception):
    """Raised by a method: `code` is what the caller sees. Other exceptions have the code FAILED."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Call:
    """The second argument of methods that have one. `cancelled` is an Event: nobody waits for the answer any more."""

    def __init__(self):
        self.cancelled = threading.Event()
        self.future = None

    def cancel(self):
        self.cancelled.set()
        self.future and self.future.cancel()


def serve(parts, window=1024, threads=64):
    """`parts`: name -> function or class that makes an object from the init. Its public methods can be called, `async def`
    ones on an event loop, others on `threads` threads. Returns when the host wants no more."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ["TS_FILTER_CALLS"])
        Server(connection, parts, window, threads).run()


class Server:
    def __init__(self, connection, parts, window, threads):
        self.connection, self.parts, self.window = connection, parts, window
        self.pool, self.write_lock = ThreadPoolExecutor(threads), threading.Lock()
        self.part, self.loop, self.methods, self.running, self.ending = None, None, {}, {}, False

    def run(self):
        stream = self.connection.makefile("rb", 1 << 16)
        self.send(HELLO, 0, NOTHING, struct.pack("!HI", VERSION, self.window))
        try:
            while (frame := read(stream)) is not None:
                self.handle(*frame)
        finally:
            for call in list(self.running.values()):
                call.cancel()
            self.pool.shutdown(wait=False, cancel_futures=True)

    def send(self, kind, number, form, body):
        # Where nobody is there any more, the reader sees it, too.
        with self.write_lock, contextlib.suppress(OSError):
            self.running.pop(number, None)
            self.connection.sendall(struct.pack("!IBBI", 6 + len(body), kind, form, number) + body)
            self.end_when_done()

    def end_when_done(self):
        if self.ending and not self.running:
            self.connection.shutdown(socket.SHUT_RDWR)

    def handle(self, kind, form, number, body):
        if kind == LOAD and self.part is None:
            self.load(*split(form, body))
        elif kind == CALL and self.part is not None and number not in self.running:
            call = self.running[number] = Call()
            self.start(call, number, *split(form, body))
        elif kind == CANCEL and not body:
            self.running.get(number, Call()).cancel()
        elif kind == SHUTDOWN and not body:
            with self.write_lock, contextlib.suppress(OSError):
                self.ending = True
                self.end_when_done()
        else:
            raise ProtocolError(f"kind {kind}")

    def load(self, name, init):
        try:
            self.part = self.parts[name](init) if name in self.parts else fail("", f"there is no part {name}")
            self.send(ANSWER, 0, NOTHING, b"")
        except Exception as error:
            self.fail(0, "CALLS_LOAD_FAILED", error)

    def start(self, call, number, name, payload):
        if name not in self.methods:
            method = None if name.startswith("_") else getattr(self.part, name, None)
            if not callable(method):
                return self.finish(number, lambda: fail("CALLS_METHOD", f"there is no method {name}"))
            takes_call = len(inspect.signature(method).parameters) > 1
            self.methods[name] = method, takes_call, inspect.iscoroutinefunction(method)
        method, takes_call, is_async = self.methods[name]
        arguments = (payload, call) if takes_call else (payload,)
        if is_async:
            if self.loop is None:
                self.loop = asyncio.new_event_loop()
                threading.Thread(target=self.loop.run_forever, daemon=True).start()
            call.future = asyncio.run_coroutine_threadsafe(method(*arguments), self.loop)
        else:
            call.future = self.pool.submit(method, *arguments)
        call.future.add_done_callback(lambda done: self.finish(number, done.result))

    def finish(self, number, result):
        try:
            value = result()
            is_bytes = isinstance(value, (bytes, bytearray))
            form, body = (BYTES, bytes(value)) if is_bytes else (JSON, json.dumps(value, ensure_ascii=False).encode())
            if 6 + len(body) > MAX_FRAME:
                fail("CALLS_TOO_LARGE", f"the answer has {len(body)} bytes")
            self.send(ANSWER, number, form, body)
        except BaseException as error:  # what is cancelled is no Exception
            self.fail(number, "FAILED", error)

    def fail(self, number, otherwise, error):
        code = ((error.code if isinstance(error, RemoteError) else "") or otherwise).encode()[:255]
        message = (str(error) or type(error).__name__).encode("utf-8", "replace")[:65536]
        self.send(ERROR, number, BYTES, bytes([len(code)]) + code + message)


def fail(code, message):
    raise RemoteError(code, message)


def read(stream):
    head = stream.read(4)
    if not head:
        return None
    length = struct.unpack("!I", head)[0] if len(head) == 4 else 0
    rest = stream.read(length) if 6 <= length <= MAX_FRAME else b""
    if length != len(rest) or not rest:
        raise ProtocolError(f"length {length}")
    kind, form, number = struct.unpack_from("!BBI", rest)
    if form > JSON:
        raise ProtocolError(f"format {form}")
    return kind, form, number, rest[6:]


def split(form, body):
    end = 1 + body[0] if body else 1
    if end > len(body):
        raise ProtocolError("a name is longer than its frame")
    name, payload = body[1:end].decode(), body[end:]
    return name, json.loads(payload) if form == JSON else payload if form == BYTES else None
