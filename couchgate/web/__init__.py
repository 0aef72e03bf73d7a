"""The reactor's face: connections of clients, the Resource tree, and the relay to CouchDB."""
