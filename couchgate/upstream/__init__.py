"""CouchDB's side of the gate: connections, the pool that keeps them, and one exchange on one of them."""
