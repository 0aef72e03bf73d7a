"""The room that reads and writes HTTP/1 bytes (RFC 9112), without a socket: the only HTTP parser in the house."""
