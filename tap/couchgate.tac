"""couchgate as a Twisted application file, for those who configure in Python: twistd -n --pidfile= -y couchgate.tac.

The settings are in couchgate.toml beside this file; `twistd -n couchgate --config couchgate.toml` does the same.
"""

from pathlib import Path

from couchgate.tap import Options, makeService
from twisted.application.service import Application

options = Options()
options.parseOptions(["--config", str(Path(__file__).resolve().with_name("couchgate.toml"))])

application = Application("couchgate")
makeService(options).setServiceParent(application)
