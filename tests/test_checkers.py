"""The JWT credential checker, its realm and its strcred plugin."""

import json
import sys
import time
from subprocess import PIPE, run
from types import SimpleNamespace

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pytest_twisted import async_yield_fixture, ensureDeferred
from twisted.cred import strcred
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin, UnhandledCredentials
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, succeed
from twisted.python.usage import Options, UsageError
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface.verify import verifyObject

from couchgate.checkers import GateRealm, IToken, PrincipalName, Token, TokenChecker
from couchgate.core.errors import Unauthorized, Unavailable, UnknownKey
from couchgate.core.keys import KeySet
from couchgate.core.principal import Principal
from couchgate.core.token import TokenRules
from couchgate.interfaces import IPrincipal

ISSUER = "https://id.example.com/"
NOW = 1_700_000_000
RULES = TokenRules("issuers[0]", ISSUER, frozenset({"app"}), frozenset({"ES256"}), name_prefix="ex:")


class Signer:
    """An issuer with one key: `keyset`, `jwks`, `pem` and tokens."""

    def __init__(self, kid="one"):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._kid = kid
        jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        self.jwks = json.dumps({"keys": [{**jwk, "kid": kid}]}).encode()
        self.pem = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.keysets = {RULES.id: KeySet.from_jwks(self.jwks, ("ES256",))}

    def token(self, now=NOW, **claims):
        claims = {"iss": ISSUER, "aud": "app", "sub": "ann", "exp": now + 300, "jti": "t1", **claims}
        return Token(jwt.encode(claims, self._key, "ES256", {"kid": self._kid}).encode())


@pytest.fixture
def signer():
    return Signer()


def checker(keysets, refresh=None):
    return TokenChecker([RULES], keysets, lambda: NOW, refresh)


def test_the_interfaces_are_provided(signer):
    """Token, TokenChecker, GateRealm and Principal are what they say."""
    assert verifyObject(IToken, signer.token())
    assert verifyObject(ICredentialsChecker, checker(dict))
    assert verifyObject(IRealm, GateRealm())
    assert verifyObject(IPrincipal, Principal(ISSUER, "ann", (), None, None))


@ensureDeferred
async def test_a_portal_gives_the_principal(signer):
    """A valid token logs its person in: the avatar is the Principal, with issuer, roles and token identity."""
    portal = Portal(GateRealm(), [checker(lambda: signer.keysets)])
    token = signer.token(**{"_couchdb.roles": ["editor"], "tenant": "acme"})
    interface, avatar, logout = await portal.login(token, None, IPrincipal)
    assert interface is IPrincipal
    assert avatar == Principal(ISSUER, "ex:ann", ("editor",), "acme", "t1")
    assert IPrincipal.providedBy(avatar)
    assert logout() is None


@ensureDeferred
async def test_another_realm_sees_a_plain_name(signer):
    """For an application of its own the avatar id is a str, equal to the CouchDB name."""
    name = await checker(lambda: signer.keysets).requestAvatarId(signer.token())
    assert isinstance(name, str)
    assert name == "ex:ann"
    assert {name: 1}["ex:ann"] == 1
    assert f"{name}" == "ex:ann"


@pytest.mark.parametrize(
    ("claims", "code"),
    [({"exp": NOW - 31}, "token_expired"), ({"aud": "other"}, "token_audience"), ({"sub": 7}, "token_claims")],
)
@ensureDeferred
async def test_a_refusal_is_an_unauthorized_login_with_its_reason(signer, claims, code):
    """A token that is not valid fails the login; the cause is the gate's own error, and no text holds the token."""
    token = signer.token(**claims)
    with pytest.raises(UnauthorizedLogin) as refusal:
        await checker(lambda: signer.keysets).requestAvatarId(token)
    assert isinstance(refusal.value.__cause__, Unauthorized)
    assert refusal.value.__cause__.code == code
    assert str(refusal.value) == refusal.value.__cause__.reason
    assert token.token.decode() not in repr(refusal.value) + repr(token)


@pytest.mark.parametrize("junk", [b"", b".", b"..", b"\xff.\xff.\xff", b"a" * 100_000, b"e30.e30.e30"])
@ensureDeferred
async def test_junk_is_refused_like_any_other_token(signer, junk):
    """Bytes that are no token are an UnauthorizedLogin and nothing worse."""
    with pytest.raises(UnauthorizedLogin):
        await checker(lambda: signer.keysets).requestAvatarId(Token(junk))


@ensureDeferred
async def test_an_unknown_key_is_looked_for_once():
    """A token with a new key makes the checker refresh once, with rules and key id, and then holds."""
    old, new = Signer("old"), Signer("new")
    shown = SimpleNamespace(keysets=old.keysets)
    asked = []

    def refresh(rules_id, kid):
        asked.append((rules_id, kid))
        shown.keysets = new.keysets
        return succeed(None)

    name = await checker(lambda: shown.keysets, refresh).requestAvatarId(new.token())
    assert name == "ex:ann"
    assert asked == [("issuers[0]", "new")]


@ensureDeferred
async def test_a_key_that_stays_unknown_is_refused_after_one_look(signer):
    """When the fresh keys do not know it either, the login fails, and there is no second refresh."""
    asked = []
    refresh = lambda *names: asked.append(names) or succeed(None)  # noqa: E731 - one expression, one place
    with pytest.raises(UnauthorizedLogin) as refusal:
        await checker(lambda: signer.keysets, refresh).requestAvatarId(Signer("new").token())
    assert isinstance(refusal.value.__cause__, UnknownKey)
    assert asked == [("issuers[0]", "new")]


@ensureDeferred
async def test_without_refresh_an_unknown_key_is_refused(signer):
    """A checker with fixed keys does not need a refresh."""
    with pytest.raises(UnauthorizedLogin):
        await checker(lambda: signer.keysets).requestAvatarId(Signer("new").token())


@ensureDeferred
async def test_keys_that_were_never_loaded_are_waited_for(signer):
    """Before the first load of the keys a login waits for them."""
    shown, loading = SimpleNamespace(keysets={}), Deferred()
    login = checker(lambda: shown.keysets, lambda *_: loading).requestAvatarId(signer.token())
    assert not login.called
    shown.keysets = signer.keysets
    loading.callback(None)
    assert await login == "ex:ann"


@ensureDeferred
async def test_keys_that_do_not_come_are_a_refusal(signer):
    """When there are no keys after the wait, the cause says that it will pass."""
    with pytest.raises(UnauthorizedLogin) as refusal:
        await checker(dict, lambda *_: succeed(None)).requestAvatarId(signer.token())
    assert isinstance(refusal.value.__cause__, Unavailable)


@ensureDeferred
async def test_the_realm_gives_nothing_else(signer):
    """Another interface, or an avatar id that no token stands behind, gets no avatar."""
    portal = Portal(GateRealm(), [checker(lambda: signer.keysets)])
    with pytest.raises(NotImplementedError):
        await portal.login(signer.token(), None, IRealm)
    with pytest.raises(UnhandledCredentials):
        await portal.login(UsernamePassword(b"ann", b"secret"), None, IPrincipal)
    for impostor in ("ex:ann", b"ex:ann", ()):
        with pytest.raises(UnauthorizedLogin):
            GateRealm().requestAvatar(impostor, None, IPrincipal)


def test_names_are_equal_and_their_principals_are_not():
    """The principal behind a name keeps two issuers apart, whatever the names say."""
    one = PrincipalName(Principal("https://one/", "ann", (), None, None))
    two = PrincipalName(Principal("https://two/", "ann", (), None, None))
    assert one == two
    assert one.principal != two.principal


@pytest.fixture
def issuer_file(tmp_path):
    """Writes a TOML file with one issuer whose keys are at `keys`; answers its path."""

    def write(keys, extra=""):
        path = tmp_path / "issuer.toml"
        path.write_text(
            f'[[issuers]]\nissuer = "{ISSUER}"\naudiences = ["app"]\nalgorithms = ["ES256"]\nkeys = "{keys}"\n{extra}'
        )
        return path

    return write


@ensureDeferred
async def test_strcred_makes_a_checker_from_a_file(signer, issuer_file, tmp_path):
    """`jwt:PATH` gives a checker that lets a token of this issuer in, by a key file beside PATH."""
    (tmp_path / "keys.pem").write_bytes(signer.pem)
    made = strcred.makeChecker(f"jwt:{issuer_file('keys.pem')}")
    assert made.credentialInterfaces == (IToken,)
    assert await made.requestAvatarId(signer.token(now=int(time.time()))) == "ann"
    with pytest.raises(UnauthorizedLogin):
        await made.requestAvatarId(Signer().token(now=int(time.time())))


@async_yield_fixture
async def jwks_url(reactor, signer):
    """The URL of a server that offers the signer's keys."""
    page = Resource()
    page.isLeaf, page.render_GET = True, lambda _: signer.jwks
    port = reactor.listenTCP(0, Site(page), interface="127.0.0.1")
    yield f"http://127.0.0.1:{port.getHost().port}/"
    await port.stopListening()


@ensureDeferred
async def test_strcred_makes_a_checker_from_a_url(signer, issuer_file, jwks_url):
    """Keys by URL are loaded at the first login, which waits for them."""
    made = strcred.makeChecker(f"jwt:{issuer_file(jwks_url)}")
    assert await made.requestAvatarId(signer.token(now=int(time.time()))) == "ann"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "issuer.toml"),
        ("", "one [[issuers]] table, not 0"),
        ("issuers = 7", "issuers"),
        ("[[issuers]\n", "issuer.toml"),
        ("[gate]\n", "gate"),
    ],
)
def test_a_bad_file_is_one_sentence_on_the_command_line(tmp_path, content, said):
    """`--auth jwt:PATH` with a file that cannot be used is a UsageError that names it."""

    class Command(Options, strcred.AuthOptionMixin):
        supportedInterfaces = (IToken,)

    path = tmp_path / "issuer.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError) as refusal:
        Command().parseOptions(["--auth", f"jwt:{path}"])
    assert said in str(refusal.value)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("argument", ["jwt", "jwt:"])
def test_a_missing_path_is_said_so(argument):
    """`--auth jwt` alone tells how to write it."""
    with pytest.raises(strcred.InvalidAuthArgumentString, match="needs a path"):
        strcred.makeChecker(argument)


def test_the_help_explains_itself():
    """`--help-auth` lists the type with its argument, and its long help names the table and the file."""
    factory = strcred.findCheckerFactory("jwt")
    assert verifyObject(strcred.ICheckerFactory, factory)
    assert tuple(factory.credentialInterfaces) == (IToken,)
    assert "PATH" in factory.argStringFormat
    for word in ("[[issuers]]", "issuer ", "audiences", "algorithms", "keys", "--auth jwt:/"):
        assert word in factory.authHelp
    assert max(map(len, factory.authHelp.splitlines())) < 80


def test_the_dropin_is_cheap():
    """Finding the plugins imports neither a reactor nor cryptography: every twistd command does it."""
    code = """if True:
        import sys
        from twisted.application.service import IServiceMaker
        from twisted.cred.strcred import ICheckerFactory
        from twisted.plugin import getPlugins
        services = {maker.name for maker in getPlugins(IServiceMaker)}
        checkers = {factory.authType for factory in getPlugins(ICheckerFactory)}
        heavy = {"twisted.internet.reactor", "cryptography", "jwt", "treq", "couchgate.core"} & set(sys.modules)
        print("couchgate" in services, "jwt" in checkers, sorted(heavy))
    """
    done = run([sys.executable, "-c", code], stdout=PIPE, check=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "True", "[]"]
