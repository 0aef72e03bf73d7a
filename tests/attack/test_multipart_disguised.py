"""Content-Type values that CouchDB reads as multipart and that do not begin so."""

import pytest

BODY = (
    b'--b\r\nContent-Disposition: form-data; name="_doc"\r\n\r\n{}\r\n--b--\r\n'
    + b" " * 4096
    + b"DELETE /o HTTP/1.1\r\n"
)


@pytest.mark.parametrize(
    "lines",
    [
        ['Content-Type: ;multipart/form-data; boundary="b"'],
        ['Content-Type: ; ;multipart/form-data; boundary="b"'],
    ],
)
def test_a_disguised_multipart_body_ends_its_connection_to_couchdb(gate, upstream, lines):
    """couch_httpd:validate_ctype and mochiweb_util:parse_header cut with string:tokens, which skips leading semicolons:
    `;multipart/form-data` is a form to CouchDB, which leaves what follows the last boundary for the next request.
    """
    referer = "Referer: http://127.0.0.1/"
    client = gate.client("POST", "/db/doc", referer, *lines, f"Content-Length: {len(BODY)}")
    client.send(BODY)
    request = upstream.accept().message()
    assert request.body == BODY
    assert request.first(b"connection") == b"close"
