"""The folder for what the gate keeps on disk."""

from __future__ import annotations

from pathlib import Path


def make_state_dir(path: Path) -> None:
    """Make it, for the gate's user alone. One that cannot be had ends the program with one sentence (SystemExit)."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass  # whoever made it has said who may see it
    except OSError as error:
        raise SystemExit(
            f"couchgate: gate.state_dir names {path}, which cannot be made: {error.strerror}. "
            "Name a folder that the gate's user may write to."
        ) from None
