"""couchgate: an authenticating reverse proxy in front of Apache CouchDB, on Twisted."""
