# SPDX-License-Identifier: MIT
#
# stream.py -- what a plain TCP stream takes for so many bytes one way, the limit of any collective:
#
#     stream.py PORT                            on one device: receives
#     stream.py PORT ADDRESS REPEATS BYTES...   on another: sends, and prints bytes and microseconds
#
# The bytes follow each other without a pause, REPEATS times and at least a MiB of them, as the collectives do: while a sender
# waits for an answer, a port that is shaped saves up, and then carries more than its rate.  What it has saved before is used
# up first.
import socket
import sys
import time

WARMUP_BYTES = LEAST_BYTES = 1 << 20


def connect(address, port):
    for _ in range(200):
        try:
            return socket.create_connection((address, port))
        except OSError:
            time.sleep(0.05)
    sys.exit("stream.py: nobody listens at %s:%d" % (address, port))


def receive(peer, buffer, left):
    while left:
        got = peer.recv_into(buffer, min(left, len(buffer)))
        if not got:
            sys.exit("stream.py: the sender is gone")
        left -= got


def serve(port):
    buffer = bytearray(1 << 20)
    with socket.create_server(("", port)) as server:
        peer, _ = server.accept()
    while length := int(peer.recv(16, socket.MSG_WAITALL) or 0):
        receive(peer, buffer, WARMUP_BYTES)
        begin = time.perf_counter()
        receive(peer, buffer, length)
        peer.sendall(b"%16d" % ((time.perf_counter() - begin) * 1e9))


def stream(peer, length):
    """Nanoseconds from the last byte before to the last byte, where they arrive."""
    peer.sendall(b"%16d" % length)
    peer.sendall(bytes(WARMUP_BYTES + length))
    return int(peer.recv(16, socket.MSG_WAITALL))


port = int(sys.argv[1])
if len(sys.argv) == 2:
    serve(port)
else:
    peer = connect(sys.argv[2], port)
    for size in map(int, sys.argv[4:]):
        repeats = max(int(sys.argv[3]), LEAST_BYTES // max(size, 1))
        print(size, "%.4f" % (stream(peer, repeats * size) / repeats / 1e3), flush=True)
    peer.sendall(b"%16d" % 0)
