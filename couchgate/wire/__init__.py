"""The room of byte streams: how a client's or CouchDB's connection is read and written, whatever carries it.

A `Wire` carries bytes for one owner. There are two: `SocketWire`, a plain TCP socket served by a `Lane` (Linux), and
`TransportWire`, any Twisted transport (TLS, Unix sockets, other platforms). Owners cannot tell them apart.

Back-pressure is one rule: what the kernel does not take makes the wire `blocked`, and an owner that stops producing
until `drained` never holds more than the piece it was writing. What is small may wait for the end of a batch of events
and meet a full kernel only then: so `drained` may come without a `write` that said False.
"""

from __future__ import annotations

from typing import Protocol

RECEIVE = 65536  # bytes taken from a socket at once: what one slow reader can make the gate hold


class Owner(Protocol):
    """Whom a wire serves. After `lost` it hears nothing more."""

    def received(self, data: bytes) -> None:
        """Bytes came, not empty."""

    def drained(self) -> None:
        """Everything written has gone out after the wire was blocked."""

    def ended(self) -> None:
        """The other side has closed its direction; ours is still open."""

    def lost(self, *, clean: bool) -> None:
        """The connection is gone. `clean`: by a close of either side, not by an error or `abort`."""


class Wire(Protocol):
    """One connection."""

    @property
    def blocked(self) -> bool:
        """Whether writing should wait for `drained`."""

    @property
    def unsent(self) -> bool:
        """Whether something that was written is still here, as far as the carrier tells."""

    @property
    def sends(self) -> int:
        """How often something was handed to the carrier: while this is the same, nothing that was written has left."""

    @property
    def stands(self) -> bool:
        """Whether the connection is known to have been made; it may be written to before."""

    @property
    def secure(self) -> bool:
        """Whether it runs over TLS."""

    def write(self, data: bytes) -> bool:
        """Send `data`, which is not empty. False: wait for `drained`."""

    def pause(self) -> None:
        """Receive nothing until `resume`."""

    def resume(self) -> None:
        """Receive again."""

    def close(self) -> None:
        """Close once everything written has gone out."""

    def close_write(self) -> None:
        """Close our direction only (FIN), where the carrier can; to be called while not blocked.

        If it becomes blocked by what it sends first, there is no FIN yet: call it again when `drained`.
        """

    def abort(self) -> None:
        """Cut at once (RST), dropping what was not sent."""
