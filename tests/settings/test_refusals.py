"""Bad input: for each wrong value one sentence that names file, key and remedy."""

import pytest

BAD = {
    # name: (what replaces what in the minimal file, what the sentence says)
    "unknown table": ("[upstream]", "[gates]\n[upstream]", "gates is not a setting; did you mean gate?"),
    "unknown key": (
        "[upstream]",
        '[gate]\nmod = "close"\n[upstream]',
        "gate.mod is not a setting; did you mean gate.mode?",
    ),
    "unknown key in a list": (
        "audiences =",
        "audience =",
        "issuers[0].audience is not a setting; did you mean issuers[0].audiences?",
    ),
    "unknown key unlike any": (
        "[upstream]",
        "[log]\nxyzzy = 1\n[upstream]",
        "log.xyzzy is not a setting; [log] may hold access",
    ),
    "key with a newline": ("[upstream]", '[log]\n"a\\nb" = 1\n[upstream]', "log.'a\\nb' is not a setting"),
    "secret in the file": (
        "secret_file",
        "secret",
        "upstream.secret is not a setting; did you mean upstream.secret_file?",
    ),
    "text for a table": ("[upstream]", 'gate = "x"\n[upstream]', "gate must be a table, written [gate], not 'x'"),
    "table for a list of tables": (
        "[[issuers]]",
        "[issuers]",
        "issuers must be a list of tables, each headed [[issuers]]",
    ),
    "number for text": ('"http://127.0.0.1:5984"', "5984", "upstream.url must be a text in quotes, not 5984"),
    "text for a list": ('["couchgate"]', '"couchgate"', "issuers[0].audiences must be a list of texts"),
    "number in a list": ('["couchgate"]', "[1]", "issuers[0].audiences[0] must be a text in quotes, not 1"),
    "repeated entry": ('["couchgate"]', '["a", "a"]', "issuers[0].audiences[1] repeats 'a'"),
    "empty text": ('"https://id.example.com/"', '""', "issuers[0].issuer must not be empty"),
    "control character": (
        '"https://id.example.com/"',
        '"a\\u0000"',
        "issuers[0].issuer must be a text without control characters",
    ),
    "unknown mode": (
        "[upstream]",
        '[gate]\nmode = "keep-alive"\n[upstream]',
        'gate.mode must be "keepalive", "close" or "threaded", not \'keep-alive\'; did you mean "keepalive"?',
    ),
    "threads behind something else": (
        "[upstream]",
        '[gate]\nmode = "threaded"\nlisten = ["ssl:1", "haproxy:tcp:443"]\n[upstream]',
        'gate.listen[1] cannot be served in mode "threaded", which is for tcp, tcp6, ssl, unix and systemd: not',
    ),
    "a listener of threads behind something else": (
        "[upstream]",
        '[gate]\nlisteners = [{ endpoint = "haproxy:tcp:443", mode = "threaded" }]\n[upstream]',
        'gate.listeners[0].endpoint cannot be served in mode "threaded", which is for tcp, tcp6, ssl, unix and systemd',
    ),
    "bad endpoint": (
        "[upstream]",
        '[gate]\nlisten = ["5985"]\n[upstream]',
        "gate.listen[0] must be an endpoint string such as tcp:5985",
    ),
    "no listener": ("[upstream]", "[gate]\nlisten = []\n[upstream]", "gate.listen must not be empty"),
    "empty listeners": ("[upstream]", "[gate]\nlisteners = []\n[upstream]", "gate.listeners must not be empty"),
    "listener twice": (
        "[upstream]",
        '[[gate.listeners]]\nendpoint = "tcp:1"\n[[gate.listeners]]\nendpoint = "tcp:1"\n[upstream]',
        "gate.listeners[1] repeats the endpoint 'tcp:1'",
    ),
    "both listens": (
        "[upstream]",
        '[gate]\nlisten = ["tcp:1"]\n[[gate.listeners]]\nendpoint = "tcp:2"\n[upstream]',
        "gate.listen and [[gate.listeners]] say the same twice",
    ),
    "text for true": (
        "[upstream]",
        '[[gate.listeners]]\nendpoint = "tcp:1"\nadmin = "yes"\n[upstream]',
        "gate.listeners[0].admin must be true or false, not 'yes'",
    ),
    "bad host": (
        "[upstream]",
        '[gate]\nhosts = ["*.example.com"]\n[upstream]',
        "gate.hosts[0] must be a host name such as",
    ),
    "state is a file": ("[upstream]", '[gate]\nstate_dir = "password"\n[upstream]', "gate.state_dir names"),
    "no upstream": ('[upstream]\nurl = "http://127.0.0.1:5984"', "[upstream]", "upstream.url is missing"),
    "upstream path": ("5984", "5984/db", "upstream.url must be scheme, host and port only"),
    "upstream credentials": ("127.0.0.1", "a:hunter2@127.0.0.1", "upstream.url must not hold a user name or password"),
    "upstream scheme": ("http://127", "ftp://127", "upstream.url must begin with http:// or https://"),
    "no secret": (
        'secret_file = "proxy.secret"',
        "",
        'upstream.secret_file is missing; auth = "proxy" needs secret_file',
    ),
    "no user": (
        "secret_file",
        'auth = "basic"\nsecret_file',
        'upstream.username is missing; auth = "basic" needs username and password_file',
    ),
    "missing secret": ('"proxy.secret"', '"gone"', "which does not exist"),
    "secret is a folder": ('"proxy.secret"', '"."', "which is a folder, not a file"),
    "empty secret": ('"proxy.secret"', '"empty"', "which is empty; it must hold the secret on one line"),
    "colon in a user": (
        "secret_file",
        'auth = "basic"\nusername = "a:b"\npassword_file = "password"\nsecret_file',
        "upstream.username must not hold a colon",
    ),
    "two-line password": (
        "secret_file",
        'auth = "basic"\nusername = "a"\npassword_file = "key.pub.pem"\nsecret_file',
        "upstream.password_file names a file with more than one line",
    ),
    "no issuers": ("[[issuers]]", "[[rules]]", "issuers is missing; write at least one [[issuers]] table"),
    "no audiences": ('audiences = ["couchgate"]', "", "issuers[0].audiences is missing"),
    "no algorithms": ('["ES256"]', "[]", "issuers[0].algorithms must not be empty"),
    "algorithm none": ('["ES256"]', '["none"]', "issuers[0].algorithms[0] must be one of HS256"),
    "misspelt algorithm": ('["ES256"]', '["es256"]', "issuers[0].algorithms[0] must be one of HS256"),
    "two families": ('["ES256"]', '["ES256", "HS256"]', "issuers[0].algorithms must be of one family"),
    "oidc by http": (
        '"https://id.example.com/"\naudiences = ["couchgate"]\nalgorithms = ["ES256"]\nkeys = "key.pub.pem"',
        '"http://id.example.com/"\naudiences = ["couchgate"]\nalgorithms = ["ES256"]\nkeys = "oidc"',
        "issuers[0].issuer must begin with https://; http:// is for this machine (localhost) only, because keys = ",
    ),
    "oidc with a query": (
        '"https://id.example.com/"\naudiences = ["couchgate"]\nalgorithms = ["ES256"]\nkeys = "key.pub.pem"',
        '"https://id.example.com/?a=b"\naudiences = ["couchgate"]\nalgorithms = ["ES256"]\nkeys = "oidc"',
        "issuers[0].issuer must be a URL without a query",
    ),
    "secret by oidc": (
        '["ES256"]\nkeys = "key.pub.pem"',
        '["HS256"]\nkeys = "oidc"',
        "issuers[0].keys must name a file",
    ),
    "https without slashes": ('"key.pub.pem"', '"https:id.example.com"', "issuers[0].keys names "),
    "too short a time for old keys": (
        "keys =",
        "stale_seconds = 299\nkeys =",
        "issuers[0].stale_seconds must be a number of seconds from 300 to 604800, not 299",
    ),
    "keys by http": ('"key.pub.pem"', '"http://id.example.com/jwks"', "issuers[0].keys must begin with https://"),
    "keys by another scheme": (
        '"key.pub.pem"',
        '"file:///etc/passwd"',
        "issuers[0].keys must begin with http:// or https://",
    ),
    "missing keys": (
        '"key.pub.pem"',
        '"gone.pem"',
        "gone.pem, which does not exist; it must name a file that can be read",
    ),
    "keys that are no keys": ('"key.pub.pem"', '"password"', "which holds no keys to use"),
    "keys for another algorithm": ('["ES256"]', '["RS256"]', "which holds no keys to use"),
    "empty keys": (
        '"key.pub.pem"',
        '"empty"',
        "which is empty; it must hold a JWKS, or public keys or certificates in PEM",
    ),
    "short secret for HS": (
        '["ES256"]\nkeys = "key.pub.pem"',
        '["HS512"]\nkeys = "proxy.secret"',
        "which holds no keys to use: an HMAC secret must be as long as the hash",
    ),
    "public key as secret": ('["ES256"]', '["HS256"]', "must not be a key or certificate in a published form"),
    "secret by URL": (
        '["ES256"]\nkeys = "key.pub.pem"',
        '["HS256"]\nkeys = "https://id.example.com/jwks"',
        "issuers[0].keys must name a file",
    ),
    "JWKS without keys": ('"key.pub.pem"', '"jwks.json"', "which holds no keys to use"),
    "bad claim path": (
        "[[rules]]",
        '[issuers.claims]\nname = "a..b"\n[[rules]]',
        "issuers[0].claims.name must be a claim's name or a dotted path",
    ),
    "white prefix": ("keys =", 'name_prefix = " a"\nkeys =', "issuers[0].name_prefix must be at most 64 bytes"),
    "no databases": ('databases = ["notes-{name}"]', "", "rules[0].databases is missing"),
    "empty databases": ('["notes-{name}"]', "[]", "rules[0].databases must not be empty"),
    "bad pattern": (
        "notes-{name}",
        "notes-{nam}",
        "rules[0].databases[0] is no pattern that can be used: the database pattern",
    ),
    "placeholders that meet": ("notes-{name}", "{name}-{tenant}", "needs one of / + $ ( ) between its placeholders"),
    "no allow": ('allow = ["read"]', "", "rules[0].allow is missing"),
    "unknown kind": (
        '["read"]',
        '["reed"]',
        "must be one of read, write, design, security, admin, server, not 'reed'; did you mean \"read\"?",
    ),
    "server with databases": ('["read"]', '["server"]', 'rules[0].databases must be left out where allow has "server"'),
    "server and more": (
        'databases = ["notes-{name}"]\nallow = ["read"]',
        'allow = ["read", "server"]',
        'rules[0].allow must hold nothing beside "server"',
    ),
    "unknown issuer in a rule": (
        "allow =",
        'issuers = ["https://id.example.com"]\nallow =',
        "rules[0].issuers[0] must be the issuer of one of the [[issuers]], not 'https://id.example",
    ),
    "no issuer in a rule": ("allow =", "issuers = []\nallow =", "rules[0].issuers must not be empty"),
    "no roles": ("allow =", "roles = []\nallow =", "rules[0].roles must not be empty"),
    "administrators that nobody can be": (
        "[upstream]",
        '[admin]\nrole = "_admin"\n[upstream]',
        "admin.role must have no comma",
    ),
    "administrators of a stranger": (
        "[upstream]",
        '[admin]\nrole = "ops"\nissuers = ["https://else.example.com/"]\n[upstream]',
        "admin.issuers[0] must be the issuer of one of the [[issuers]], not 'https://else.example.com/'",
    ),
    "administrators without a role": (
        "[upstream]",
        '[admin]\nissuers = ["https://id.example.com/"]\n[upstream]',
        "admin.issuers says whose role it is, and admin.role is empty",
    ),
    "role that nobody has": ("allow =", 'roles = ["_admin"]\nallow =', "rules[0].roles[0] must have no comma"),
    "origin with a path": (
        "[upstream]",
        '[cors]\norigins = ["https://a.example/x"]\n[upstream]',
        "cors.origins[0] is no origin that can be allowed",
    ),
    "any origin": (
        "[upstream]",
        '[cors]\norigins = ["*"]\n[upstream]',
        "cors.origins[0] is no origin that can be allowed",
    ),
    "true is no number": (
        "[upstream]",
        "[limits]\nfeeds = true\n[upstream]",
        "limits.feeds must be a whole number from 1 to 1000000, not true",
    ),
    "fraction is no whole number": (
        "[upstream]",
        "[limits]\nfeeds = 1.5\n[upstream]",
        "limits.feeds must be a whole number from 1 to 1000000, not 1.5",
    ),
    "out of bounds": (
        "[upstream]",
        "[limits]\nhead_bytes = 1\n[upstream]",
        "limits.head_bytes must be a whole number from 1024 to 1048576, not 1",
    ),
    "infinite": (
        "[upstream]",
        "[limits]\nidle_seconds = inf\n[upstream]",
        "limits.idle_seconds must be a number of seconds from 0.1 to 86400",
    ),
    "not a number": (
        "[upstream]",
        "[limits]\nidle_seconds = nan\n[upstream]",
        "limits.idle_seconds must be a number of seconds from 0.1 to 86400",
    ),
    "true is no time": (
        "[upstream]",
        "[limits]\nidle_seconds = true\n[upstream]",
        "limits.idle_seconds must be a number of seconds from 0.1 to 86400, not true",
    ),
    "log in no folder": (
        "[upstream]",
        '[log]\naccess = "no/such/log"\n[upstream]',
        'log.access must be "stdout", "off" or a file in a folder that exists',
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence_with_file_key_and_remedy(name, refusal, folder, minimal):
    """Each bad value is refused by a sentence that names its key and what would be right."""
    (folder / "empty").write_bytes(b"\n")
    (folder / "jwks.json").write_bytes(b'{"keys": []}')
    right, wrong, sentence = BAD[name]
    assert right in minimal
    assert sentence in refusal(minimal.replace(right, wrong, 1))
