"""Certificates that a test makes for itself: an authority, and servers and clients that it has signed."""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.web.sockets import PATIENCE, Stream, Upstream

HOUR = timedelta(hours=1)


def private_pem(key, passphrase=None):
    how = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


def subject_names(names):
    """The extension for DNS names and IP addresses."""
    found = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(found)


class Authority:
    """A certificate authority. `path` is the file of its certificate; what it signs lies beside that."""

    def __init__(self, folder, name="authority"):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self._sign(self._key, self._name, (), -HOUR, HOUR, authority=True))

    def _sign(self, key, subject, names, begins, ends, *, authority=False):
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder(self._name, subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(subject_names(names), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def pair(self, *names, begins=-HOUR, ends=HOUR):
        """A certificate for `names` and its private key, both in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0] if names else "localhost")])
        return self._sign(key, subject, names, begins, ends), private_pem(key)

    def file(self, name, *names, **times):
        """The same as one file, private as it should be."""
        path = self._folder / name
        path.write_bytes(b"".join(self.pair(*names, **times)))
        path.chmod(0o600)
        return path

    def server(self, *names, clients=None, **times):
        """The context of a server for `names`. `clients`: the authority of the certificates that it asks for."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file(f"{len(list(self._folder.iterdir()))}.pem", *names, **times))
        if clients is not None:
            context.load_verify_locations(clients.path)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class SecureUpstream(Upstream):
    """An Upstream by https; `host` is how the gate is told to reach it."""

    def __init__(self, context, host="localhost"):
        super().__init__()
        self.url = f"https://{host}:{self.port}"
        self._context = context

    def accept(self):
        """The gate's next connection, after its handshake."""
        self._listener.settimeout(PATIENCE)
        sock, address = self._listener.accept()
        sock.settimeout(PATIENCE)
        peer = Stream(self._context.wrap_socket(sock, server_side=True), address)
        self._peers.append(peer)
        return peer

    def accept_plain(self):
        """The gate's next connection, on which this side says nothing yet."""
        return super().accept()

    def refuses(self):
        """Take the gate's next connection, which ends before any of a request comes; the bytes that came, if any."""
        try:
            return self.accept().sock.recv(1)
        except (ssl.SSLError, ConnectionResetError):
            return b""
