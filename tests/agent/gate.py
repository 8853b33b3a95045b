"""Stand in the way to a house: what comes is passed on, or, while the gate is shut, cut off."""

import contextlib
import socket
import threading
import urllib.parse


class Gate:
    """A port of this machine that leads to the house's."""

    def __init__(self, url: str) -> None:
        """Open it."""
        self._there = ("127.0.0.1", urllib.parse.urlsplit(url).port)
        self._ear = socket.create_server(("127.0.0.1", 0))
        self._links: list[socket.socket] = []
        self._passing: list[threading.Thread] = []
        self._is_shut = False
        self.url = f"https://127.0.0.1:{self._ear.getsockname()[1]}"
        self._serving = threading.Thread(target=self._serve)
        self._serving.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._ear.accept()
                if self._is_shut:
                    link.close()
                    continue
                other = socket.create_connection(self._there)
                self._links += [link, other]
                for ends in ((link, other), (other, link)):
                    passing = threading.Thread(target=_pass_on, args=ends)
                    self._passing.append(passing)
                    passing.start()

    def shut(self) -> None:
        """Cut off what is open, and whoever comes."""
        self._is_shut = True
        for link in self._links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        """Let through again."""
        self._is_shut = False

    def end(self) -> None:
        """Close the port."""
        self.shut()
        self._ear.shutdown(socket.SHUT_RDWR)
        for thread in (self._serving, *self._passing):
            thread.join()
        for link in (self._ear, *self._links):
            link.close()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := one.recv(65536):
            other.sendall(piece)
    for end in (one, other):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
