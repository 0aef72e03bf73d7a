"""What the `couchgate` command can do besides the small things in `cli`: explain a decision, and look for faults."""


class CommandError(Exception):
    """Why a command cannot do its work: one sentence for a person."""
