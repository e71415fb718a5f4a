# SPDX-License-Identifier: MIT
#
# stream.py -- what a plain TCP stream takes for so many bytes one way, the limit of any collective:
#
#     stream.py PORT                            on one device: receives
#     stream.py PORT ADDRESS REPEATS BYTES...   on another: sends, and prints bytes and microseconds
#
# The receiver says that all has come; half of an empty message's time there and back is taken off for that.
import socket
import sys
import time

WARMUP = 3


def connect(address, port):
    for _ in range(200):
        try:
            return socket.create_connection((address, port))
        except OSError:
            time.sleep(0.05)
    sys.exit("stream.py: nobody listens at %s:%d" % (address, port))


def serve(port):
    buffer = bytearray(1 << 20)
    with socket.create_server(("", port)) as server:
        peer, _ = server.accept()
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while length := int(peer.recv(16, socket.MSG_WAITALL) or 0):
        left = length
        while left:
            left -= peer.recv_into(buffer, min(left, len(buffer)))
        peer.sendall(b"x")


def transfer(peer, data):
    peer.sendall(b"%16d" % len(data))
    begin = time.perf_counter()
    peer.sendall(data)
    peer.recv(1)
    return time.perf_counter() - begin


def mean(peer, size, repeats):
    data = bytes(size)
    return sum([transfer(peer, data) for _ in range(WARMUP + repeats)][WARMUP:]) / repeats


port = int(sys.argv[1])
if len(sys.argv) == 2:
    serve(port)
else:
    peer = connect(sys.argv[2], port)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    repeats = int(sys.argv[3])
    back = mean(peer, 1, 10 * repeats) / 2
    for size in map(int, sys.argv[4:]):
        print(size, "%.1f" % ((mean(peer, size, repeats) - back) * 1e6), flush=True)
    peer.sendall(b"%16d" % 0)
