"""A line with less room in one direction than in the other: passes connections on to a port of this machine.

    relay.py TO DOWN UP     bytes a second from the service and to it, over all connections together

It prints the port that it listens on, and ends with its parent.
"""

import socket
import sys
import threading
import time

# Small enough that many connections share the line fairly, and that the wait for one piece is not felt.
PIECE = 256 * 1024
# Sleeps are longer than was asked for: a line catches up with so much of what that has cost it, in seconds.
LATE = 0.05


class Line:
    """One direction: whoever sends waits until what was sent before has gone through."""

    def __init__(self, rate):
        self.rate, self.free, self.lock = rate, 0.0, threading.Lock()

    def send(self, length):
        with self.lock:
            now = time.monotonic()
            self.free = max(self.free, now - LATE) + length / self.rate
            wait = self.free - now
        if wait > 0:
            time.sleep(wait)


def pump(source, target, line):
    buffer = bytearray(PIECE)
    view = memoryview(buffer)
    try:
        while got := source.recv_into(buffer):
            line.send(got)
            target.sendall(view[:got])
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # One end is gone, and so is the other.
        for end in (source, target):
            end.close()


def main():
    port, down, up = int(sys.argv[1]), Line(float(sys.argv[2])), Line(float(sys.argv[3]))
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        service = socket.create_connection(("127.0.0.1", port))
        for end in (client, service):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for pair in ((service, client, down), (client, service, up)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


if __name__ == "__main__":
    main()
