"""Start a gate for the conformance runner: settings from its environment, then `twistd` in this process."""

import os
import sys
from pathlib import Path

work = Path(os.environ["WORK"])
port, upstream = os.environ["LISTEN_PORT"], os.environ["UPSTREAM"]
keyset = os.environ["KEYSET"]
keys = Path(os.environ["KEYS"])
algorithm, name = {
    "hs256": ("HS256", "hs256.key"),
    "rs256": ("RS256", "rsa.pub.pem"),
    "es256": ("ES256", "ec.pub.pem"),
    "eddsa": ("EdDSA", "ed.pub.pem"),
}[keyset]
(work / "proxy.secret").write_text("conformance-proxy-secret-0123456789\n")
(work / "proxy.secret").chmod(0o600)
origins = ", ".join(f'"{origin}"' for origin in os.environ["ORIGINS"].split())
(work / "couchgate.toml").write_text(
    f"""
[gate]
listen = ["tcp:{port}:interface=127.0.0.1"]
mode = "{os.environ["MODE"]}"
hosts = ["gate.conformance.test"]

[upstream]
url = "{upstream}"
auth = "proxy"
secret_file = "proxy.secret"

[[issuers]]
issuer = "https://issuer.conformance.test/"
audiences = ["couchgate-conformance"]
algorithms = ["{algorithm}"]
keys = "{keys / name}"

[cors]
origins = [{origins}]

[[rules]]
databases = ["{os.environ["DB"].strip("/")}"]
allow = ["read", "write"]

[log]
access = "off"
"""
)
os.chdir(work)
run = "from twisted.scripts.twistd import run; run()"
os.execv(
    sys.executable,
    [sys.executable, "-c", run, "-n", "--pidfile=", "couchgate", "--config", str(work / "couchgate.toml")],
)
