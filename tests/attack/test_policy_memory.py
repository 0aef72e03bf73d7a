"""What one person without any rights beyond one database can make the gate remember."""

from contextlib import suppress

from couchgate.core.errors import Forbidden
from tests.core.conftest import World


def test_names_of_databases_do_not_fill_the_memory():
    """A token, 32 KB names, and names without end: with the token a few rules are kept, by short names."""
    world = World()
    gate, token = world.gate(), world.token("alice")
    facts = world.facts()
    for number in range(200):
        for name in (b"a" * 32000 + b"%d" % number, b"elsewhere%d" % number, b"lab", b"shared", b"notes-alice"):
            with suppress(Forbidden):
                world.decide(gate, world.head(target=b"/" + name, token=token), facts)
    admission = gate.admit(world.head(token=token), facts, world.now)
    assert set(admission.ruled) == {"lab", "shared", "notes-alice"}
