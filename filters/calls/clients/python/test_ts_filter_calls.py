import json
import socket
import struct
import threading
import unittest

import ts_filter_calls as calls


def frame(kind, number=0, form=calls.NOTHING, body=b""):
    return struct.pack("!IBBI", 6 + len(body), kind, form, number) + body


def named(name, payload=b""):
    return bytes([len(name)]) + name.encode() + payload


class Part:
    def __init__(self, init):
        self.init = init

    def echo(self, payload):
        return payload

    async def later(self, payload):
        return [self.init, payload]

    def wait(self, _, call):
        return call.cancelled.wait(10)


class ServerTest(unittest.TestCase):
    def setUp(self):
        ours, self.peer = socket.socketpair()
        self.peer.settimeout(10)
        self.failure = None

        def run():
            try:
                calls.Server(ours, {"part": Part}, 16, 4).run()
            except calls.ProtocolError as error:
                self.failure = error
            ours.close()

        self.thread = threading.Thread(target=run)
        self.thread.start()
        self.stream = self.peer.makefile("rb")
        self.assertEqual(calls.read(self.stream), (calls.HELLO, calls.NOTHING, 0, b"\0\1\0\0\0\x10"))

    def tearDown(self):
        self.stream.close()
        self.peer.close()
        self.thread.join(10)
        self.assertFalse(self.thread.is_alive())

    def load(self):
        self.peer.sendall(frame(calls.LOAD, 0, calls.JSON, named("part", b'{"a":1}')))
        self.assertEqual(calls.read(self.stream)[0], calls.ANSWER)

    def test_answers_calls_of_threads_and_of_the_event_loop(self):
        self.load()
        self.peer.sendall(frame(calls.CALL, 1, calls.BYTES, named("echo", b"\0\xff")))
        self.assertEqual(calls.read(self.stream), (calls.ANSWER, calls.BYTES, 1, b"\0\xff"))
        self.peer.sendall(frame(calls.CALL, 2, calls.JSON, named("later", '"ä"'.encode())))
        self.assertEqual(json.loads(calls.read(self.stream)[3]), [{"a": 1}, "ä"])

    def test_has_no_private_methods(self):
        self.load()
        self.peer.sendall(frame(calls.CALL, 1, calls.NOTHING, named("__init__")))
        kind, _, _, body = calls.read(self.stream)
        self.assertEqual((kind, body[1:13]), (calls.ERROR, b"CALLS_METHOD"))

    def test_cancels_and_shuts_down(self):
        self.load()
        self.peer.sendall(frame(calls.CALL, 1, calls.NOTHING, named("wait")) + frame(calls.SHUTDOWN) + frame(calls.CANCEL, 1))
        self.assertEqual(calls.read(self.stream), (calls.ANSWER, calls.JSON, 1, b"true"))
        self.assertIsNone(calls.read(self.stream))

    def test_ends_with_its_connection(self):
        self.load()
        self.peer.sendall(frame(calls.CALL, 1, calls.NOTHING, named("wait")))

    def test_ends_at_what_is_no_frame(self):
        self.peer.sendall(frame(99))
        self.thread.join(10)
        self.assertIsInstance(self.failure, calls.ProtocolError)


if __name__ == "__main__":
    unittest.main()
