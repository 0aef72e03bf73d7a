"""The blocking face: a thread for each connection, one request each, HTTP/1.0, closed after the answer."""
