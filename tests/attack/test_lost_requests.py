"""Requests of a client that the gate loses."""

import pytest

DESIGN = b'{"docs":[{"_id":"_design/x"}]}'


@pytest.mark.parametrize("cut", [0, 30])
def test_a_request_behind_a_refused_body_is_answered(gate, cut):
    """A judged body is refused while the next request came with it: that is answered too, or the connection closed."""
    head = gate.head("POST", "/db/_bulk_docs", "Content-Type: application/json", f"Content-Length: {len(DESIGN)}")
    behind = gate.head("GET", "/_gate/health")
    client = gate.client()
    client.send(head + DESIGN + behind[: len(behind) - cut])
    refusal = client.message()
    assert refusal.status == 403
    if refusal.first(b"connection") == b"close":
        return
    if cut:
        client.send(behind[-cut:])
    assert client.message().status == 200
