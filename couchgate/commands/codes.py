"""Every word that can stand as `reason` in the access log: what it means, and what to do about it.

A test holds the table to the code: no word without its explanation, and no explanation of a word that nobody says.
"""

from __future__ import annotations

from typing import NamedTuple


class Meaning(NamedTuple):
    """What a word means, and what to do: two sentences for a person, the second empty where nothing is to be done."""

    means: str
    remedy: str


_CLIENT = "Look at what the client or a proxy on the way sends; browsers and PouchDB send nothing of the kind."
_COUCHDB = "Look at CouchDB's log and at its machine; `couchgate doctor` asks it what the gate relies on."
_RULES = "Ask `couchgate explain` with the same request: it names the rule. Then change [[rules]], or the roles."

CODES: dict[str, Meaning] = {
    # -- not refusals
    "forwarded": Meaning(
        "The gate let it through; the status is CouchDB's.",
        "A 401 or 403 is then CouchDB's own: its _security, or a validation function. See `couchgate doctor`.",
    ),
    "own": Meaning("The gate answered it itself.", ""),
    "preflight": Meaning("A browser asked whether its page may call, and was told yes.", ""),
    "feed_ended": Meaning(
        "The gate ended the feed in order: its token expired, the gate was stopping, or a page with many databases "
        "needed the connection; PouchDB asks again.",
        "If there are many of them: limits.lasting_feeds in docs/settings.md.",
    ),
    "client_gone": Meaning("The client closed the connection before the answer was whole.", ""),
    "feed_cut": Meaning("The feed had to end and could not end in order, so it was cut; PouchDB asks again.", ""),
    # -- the browser and the host
    "preflight_refused": Meaning(
        "A browser asked whether its page may call, and its origin is not allowed.",
        "Add the page's origin to [cors] origins, exactly as the browser sends it.",
    ),
    "host": Meaning(
        "The Host is neither a loopback name nor one of [gate] hosts.",
        "Add the name that clients use to [gate] hosts; a proxy in front must pass Host on.",
    ),
    "host_count": Meaning("The request had no Host, or more than one.", _CLIENT),
    "host_malformed": Meaning("The Host could not be read.", _CLIENT),
    # -- the token
    "token_missing": Meaning(
        "There was no Authorization field.", "See that the app sends the token and that no proxy on the way drops it."
    ),
    "token_scheme": Meaning(
        "The Authorization field was not of the scheme Bearer.", "Send `Authorization: Bearer <token>`."
    ),
    "token_malformed": Meaning(
        "What was sent is not a compact JSON Web Token.",
        "See that the app sends the access token whole: not an opaque token, not encrypted, not cut.",
    ),
    "token_invalid": Meaning("The token is not valid.", "Get a new token."),
    "token_too_large": Meaning("The token is longer than 8192 bytes.", "Let the issuer put fewer claims into it."),
    "token_type": Meaning(
        "The token's `typ` is neither JWT nor at+jwt, so it is not meant for access.", "Send the access token."
    ),
    "token_crit": Meaning("The token asks for an extension (`crit`) that the gate does not know.", ""),
    "token_algorithm": Meaning(
        "The token is signed with an algorithm that its issuer's settings do not allow.",
        "Compare the token's `alg` with `algorithms` of its [[issuers]] table.",
    ),
    "token_issuer": Meaning(
        "The token's `iss` is not an `issuer` of the settings.",
        "Compare the two letter by letter; a slash at the end counts.",
    ),
    "token_ambiguous": Meaning(
        "The token's audiences fit more than one [[issuers]] table.",
        "Let the issuer name one audience only, or join the tables.",
    ),
    "token_audience": Meaning(
        "The token was made for another service: `aud` has none of the `audiences`.",
        "Let the app ask for a token for this gate, or add the audience to its [[issuers]] table.",
    ),
    "token_party": Meaning(
        "The token was issued to a client (`azp`) that is none of the `authorized_parties`.",
        "Add the client to `authorized_parties` of its [[issuers]] table, if it may call.",
    ),
    "token_expired": Meaning(
        "The token's `exp` was over.",
        "Let the app get a new token a little before the old one ends; if it was fresh, compare the clocks.",
    ),
    "token_not_yet": Meaning(
        "The token's `nbf` or `iat` lay in the future.",
        "Compare the clocks of issuer and gate, or raise `leeway` of its [[issuers]] table.",
    ),
    "token_signature": Meaning(
        "No key of the issuer made the token's signature.",
        "Compare `keys` with what the issuer signs with; a token that was changed on the way fails like this, too.",
    ),
    "token_claims": Meaning(
        "The token's claims do not name one user as CouchDB could be told.",
        "Compare [issuers.claims] with the token: the name must be a text, the roles a list of texts.",
    ),
    "key_unknown": Meaning(
        "The issuer's keys have none with the token's `kid` for its algorithm.",
        "See that `keys` names this issuer's keys, and that the gate can load them (its log has the problem).",
    ),
    "keys_missing": Meaning(
        "The issuer's keys could not be loaded yet, or not for longer than `stale_seconds`.",
        "`/_gate/ready` and the log say why; clients try again.",
    ),
    "credential_duplicate": Meaning("The request had two Authorization fields.", _CLIENT),
    "basic_malformed": Meaning(
        "The Basic credential was no name and password in UTF-8 and canonical base64.",
        "Neither may be empty, hold control characters or be overlong; the user `_jwt` needs token_as_password.",
    ),
    "password_wrong": Meaning("No checker knew this name with this password.", "Look into the checkers of [auth]."),
    "password_name": Meaning(
        "The password was right, but CouchDB could not be told such a name.",
        "Mend the name: no control characters, no white space at its ends, not another issuer's name_prefix.",
    ),
    "password_rate": Meaning(
        "There were too many wrong passwords for this name or from this address.",
        "It passes by itself; find the client that guesses, or that holds on to an old password.",
    ),
    "password_busy": Meaning("Too many passwords were being checked at a time.", "It passes; clients try again."),
    "password_checker": Meaning(
        "A checker of passwords failed, did not answer in time, or the gate was stopping.", "The gate's log says why."
    ),
    # -- what the person may do
    "policy": Meaning("The rules do not allow this to this person.", _RULES),
    "design_in_body": Meaning(
        "The body holds a design document, and the rules do not allow `design` to this person.", _RULES
    ),
    "destination": Meaning("A COPY without one readable Destination, or a Destination without COPY.", _CLIENT),
    "upgrade": Meaning("The client asked for another protocol (Upgrade), which the gate does not relay.", _CLIENT),
    "session": Meaning(
        "There are no cookie sessions here.", "Send the token with every request instead of logging in at /_session."
    ),
    "admin": Meaning(
        "The page is for administrators of the gate only.",
        "Give the person the role of [admin], or ask on a listener with `admin = true`.",
    ),
    "query": Meaning("The gate's page does not take these parameters.", "See docs/operations.md for its pages."),
    "not_found": Meaning("The gate has no page of this name.", "See docs/operations.md for its pages."),
    "method": Meaning("The gate's page has no such method.", "See docs/operations.md for its pages."),
    "form": Meaning("A form in a request to the gate's own page could not be read.", _CLIENT),
    # -- limits and time
    "limit": Meaning("A limit per person was reached.", "See [limits]."),
    "feeds": Meaning(
        "This person had as many feeds open as [limits] feeds allows.",
        "See whether the app forgets to cancel its syncs; else raise [limits] feeds.",
    ),
    "connections": Meaning(
        "The gate had as many clients as [limits] connections allows.", "Raise it, or start another gate."
    ),
    "threads": Meaning(
        "A listener of mode threaded had as many clients as [limits] threads allows, or half as many waited for keys.",
        "Raise it; each open feed takes one.",
    ),
    "mode": Meaning(
        "A page of the deployment's own was asked for at a listener of mode threaded.",
        "Ask for it at a listener of another mode.",
    ),
    "bodies": Meaning("The gate held as much of bodies as it may.", "It passes; clients try again."),
    "body_too_large": Meaning("The body was longer than [limits] body_bytes.", "Raise it, if such bodies are meant."),
    "head_too_large": Meaning("The head was longer than [limits] allows.", "Shorten the token, or raise the limit."),
    "head_bytes": Meaning("The head was longer than [limits] head_bytes.", "Shorten the token, or raise the limit."),
    "head_count": Meaning("The head had more fields than [limits] header_count.", _CLIENT),
    "trailers_too_long": Meaning("The fields behind the body were too long.", _CLIENT),
    "slow_client": Meaning(
        "The head or the body did not come within [limits] head_seconds or idle_seconds.",
        "A slow network, or somebody who holds connections open: look at `peer`.",
    ),
    # -- what cannot be read in one way only
    "bad_request": Meaning("The request could not be read.", _CLIENT),
    "not_http": Meaning("What was sent is not HTTP.", "Often TLS sent to a port without it: look at the URL."),
    "http_version": Meaning("The request was in another version than HTTP/1.0 or 1.1.", _CLIENT),
    "request_line": Meaning("The first line of the request is malformed.", _CLIENT),
    "line_end": Meaning("A line did not end in CRLF.", _CLIENT),
    "empty_lines": Meaning("There were too many empty lines before the request.", _CLIENT),
    "field_malformed": Meaning("A header field is malformed.", _CLIENT),
    "chunk_malformed": Meaning("The body's chunks are malformed.", _CLIENT),
    "framing_both": Meaning("The request had both Content-Length and Transfer-Encoding.", _CLIENT),
    "framing_length": Meaning("The Content-Length cannot be read in one way only.", _CLIENT),
    "framing_coding": Meaning("The Transfer-Encoding is not `chunked`.", _CLIENT),
    "framing_version": Meaning("A request in HTTP/1.0 had a Transfer-Encoding.", _CLIENT),
    "not_implemented": Meaning("The gate does not relay this method or coding.", _CLIENT),
    "target": Meaning("The request's target is no path that can be read.", "Percent-encode it in the client."),
    "target_escape": Meaning("A percent-escape in the path is broken.", "Write `%` itself as `%25`."),
    "target_control": Meaning("A control character is escaped in the path.", _CLIENT),
    "target_encoding": Meaning("The database's name is not UTF-8.", "Encode names as UTF-8 in the client."),
    "body_encoding": Meaning(
        "The body is compressed and must be judged for design documents.", "Send it without Content-Encoding."
    ),
    "body_type": Meaning("The body must be judged for design documents, and is not JSON.", "Send it as JSON."),
    "body_unreadable": Meaning("The body must be judged for design documents, and cannot be read.", _CLIENT),
    # -- CouchDB and the gate
    "upstream_down": Meaning("CouchDB could not be reached.", _COUCHDB),
    "upstream_tls": Meaning(
        "There was no TLS with CouchDB: its certificate was not good, or it did not take the gate's.",
        "The answer's reason names what is wrong; compare the TLS keys of [upstream] with CouchDB's [ssl].",
    ),
    "upstream_closed": Meaning("CouchDB closed the connection without an answer.", _COUCHDB),
    "upstream_cut": Meaning("CouchDB's answer broke off.", _COUCHDB),
    "upstream_garbage": Meaning(
        "What answered in CouchDB's place is not one valid HTTP answer.", "See that [upstream] url is CouchDB itself."
    ),
    "upstream_timeout": Meaning(
        "CouchDB took the request and did not answer within [upstream] first_byte_seconds.",
        "Views being built take long: raise it, or build them beforehand.",
    ),
    "upstream_stalled": Meaning(
        "CouchDB stood still for [upstream] idle_seconds: in the middle of its answer, or of the request's body.",
        "See what CouchDB was doing; raise it if an answer may be silent for so long.",
    ),
    "internal": Meaning(
        "The gate itself failed; nothing was forwarded.", "Its log has the traceback. Please report it."
    ),
}
