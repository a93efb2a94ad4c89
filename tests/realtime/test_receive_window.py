"""Receive window: a client that reads nothing is detected although its kernel accepts bytes; a client that reads is not."""

from __future__ import annotations

import fcntl
import socket
import sys
import termios
import time
from contextlib import suppress

from scoreboard.net.receive_window import SPAN_S_MAX, TAKEN_BYTES_MIN, ReceiveWindow

BUFFER_BYTES = 131_072
SECONDS = 60
#: A kernel may wait for more bytes before it acknowledges.
ACKNOWLEDGED_S = 0.06


class ClientKernel:
    """A client's kernel: the bytes that it accepted and that its program read, and the window that it announces."""

    def __init__(self, buffer_bytes: int = BUFFER_BYTES) -> None:
        self.pair = socket.create_server(("127.0.0.1", 0))  # only its address family is used
        self.reading = ReceiveWindow(self.pair)
        self.buffer_bytes = buffer_bytes
        self.taken = self.read = 0
        self.now_s = 1_000.0

    def second(self, offered: int, read: int) -> float:
        """Let a second pass in which ``offered`` bytes are sent, and the program reads up to ``read`` bytes."""
        self.now_s += 1
        fits = min(offered, self.buffer_bytes - (self.taken - self.read) + read)
        self.taken += fits
        self.read = min(self.taken, self.read + read)
        window = self.buffer_bytes - (self.taken - self.read)
        return self.reading.judge(self.now_s, self.taken, window)

    def close(self) -> None:
        self.pair.close()


def longest(peer: ClientKernel, offered: int, read: int) -> float:
    found = max(peer.second(offered, read) for _ in range(SECONDS))
    peer.close()
    return found


def test_a_client_that_reads_nothing_is_detected_before_its_buffer_is_full() -> None:
    peer = ClientKernel(buffer_bytes=2**22)
    for _ in range(5):
        assert peer.second(50_000, 50_000) == 0
    assert [peer.second(50_000, 0) for _ in range(10)] == [float(number) for number in range(1, 11)]
    peer.close()


def test_the_time_goes_on_counting_when_the_buffer_is_full() -> None:
    peer = ClientKernel()
    for _ in range(5):
        peer.second(50_000, 50_000)
    assert [peer.second(50_000, 0) for _ in range(10)][-1] >= 9
    peer.close()


def test_a_client_that_reads_everything_is_never_counted() -> None:
    assert longest(ClientKernel(), 50_000, 50_000) == 0


def test_a_slow_reader_is_counted_only_while_its_buffer_fills() -> None:
    assert longest(ClientKernel(), 200_000, 20_000) <= 2
    assert longest(ClientKernel(), 70_000, 20_000) <= 4


def test_too_few_bytes_are_not_counted() -> None:
    assert longest(ClientKernel(buffer_bytes=2**22), TAKEN_BYTES_MIN // (int(SPAN_S_MAX) + 2), 0) == 0


def test_a_time_in_which_nothing_is_sent_is_not_counted() -> None:
    peer = ClientKernel(buffer_bytes=2**22)
    peer.second(50_000, 50_000)
    before = peer.second(50_000, 0)
    assert max(peer.second(0, 0) for _ in range(SECONDS)) == before
    peer.second(50_000, 50_000)
    assert peer.second(50_000, 50_000) == 0
    peer.close()


def test_a_broken_network_is_not_taken_for_a_client_that_does_not_read() -> None:
    peer = ClientKernel()
    peer.second(50_000, 50_000)
    for _ in range(SECONDS):  # nothing is acknowledged, though the buffer is not full
        peer.now_s += 1
        assert peer.reading.judge(peer.now_s, peer.taken, BUFFER_BYTES) == 0
    peer.close()


def test_a_small_buffer_that_is_read_is_not_taken_for_a_closed_window() -> None:
    assert longest(ClientKernel(buffer_bytes=4_096), 1_000, 1_000) == 0
    assert longest(ClientKernel(buffer_bytes=4_096), 4_096, 4_096) == 0


def test_a_unix_socket_is_never_counted() -> None:
    ours, theirs = socket.socketpair()
    assert ReceiveWindow(ours).measure(0) == 0
    ours.close()
    theirs.close()


def unacknowledged(handle: socket.socket) -> int:
    """How many bytes the peer's kernel has not acknowledged."""
    return int.from_bytes(fcntl.ioctl(handle, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def test_the_kernel_reports_what_is_read_and_what_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    ours.setblocking(False)
    reading = ReceiveWindow(ours)
    counted = []
    for second in range(30):
        for _ in range(8):
            sent = 0
            with suppress(BlockingIOError):
                sent = ours.send(bytes(2_500))
            while second < 10 and sent:
                sent -= len(theirs.recv(sent))
        time.sleep(ACKNOWLEDGED_S)
        until_s = time.monotonic() + 10
        while second < 10 and unacknowledged(ours) and time.monotonic() < until_s:
            time.sleep(ACKNOWLEDGED_S)
        counted.append(reading.measure(float(second)))
    ours.close()
    theirs.close()
    assert set(counted[:10]) == {0.0}
    assert counted[-1] >= 10
