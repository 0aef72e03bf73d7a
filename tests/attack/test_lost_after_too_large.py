"""A body that is whole and too long."""

from tests.web.live import running_gate


def test_a_request_behind_a_whole_body_over_the_limit_is_answered(own_upstream):
    """A chunked body that is complete and over the limit, and the next request behind it: 413, and then that is
    answered, or the connection is closed.
    """
    with running_gate(own_upstream, limits="body_bytes = 5") as gate:
        head = gate.head("POST", "/db/_bulk_docs", "Content-Type: application/json", "Transfer-Encoding: chunked")
        client = gate.client()
        client.send(head + b"9\r\n123456789\r\n0\r\n\r\n" + gate.head("GET", "/_gate/health"))
        refusal = client.message()
        assert refusal.status == 413
        if refusal.first(b"connection") == b"close":
            return
        assert client.message().status == 200
