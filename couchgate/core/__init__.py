"""The room that decides: pure, synchronous, without a clock; no Twisted, no I/O, no global state."""
