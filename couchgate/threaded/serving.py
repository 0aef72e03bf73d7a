"""One connection of a client in its own thread: one head, its decision, one answer, and the goodbye."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from couchgate.core.errors import (
    BodyTooLarge,
    GateError,
    InternalError,
    NotImplementedByGate,
    RequestTimeout,
    Unauthorized,
    Unavailable,
)
from couchgate.core.message import NO_BODY, UNTIL_CLOSE, Fields, Peer, RequestHead
from couchgate.core.pages import check_person, needs_person, no_page
from couchgate.core.principal import Principal
from couchgate.core.rewrite import lines_of
from couchgate.core.target import classify
from couchgate.core.verdict import Admission, Forward, NeedKeys, NeedPrincipal, NeedVerdict
from couchgate.http1.manners import new_trace
from couchgate.http1.requests import BodyReader, take_head
from couchgate.threaded.client import Client, ClientGone
from couchgate.threaded.parts import Page, Present, Secured
from couchgate.threaded.relay import Relay
from couchgate.threaded.request import ThreadedRequest

if TYPE_CHECKING:
    from couchgate.threaded.face import ThreadedFace


def _unreadable() -> RequestHead:
    """The head of a request that cannot be read: a new one, since a gate leaves on a head what it derives."""
    return RequestHead(b"", b"", 11, Fields(), UNTIL_CLOSE)


def _no_thread() -> Unavailable:
    return Unavailable("The gate has no thread to spare.", code="threads", retry_after=1)


class Serving:
    """Serves the client on `sock`, who came from `address`, for `face`; or, if `refused`, just says that it cannot.

    `secured` makes TLS of the socket, if it is to be.
    """

    def __init__(
        self, face: ThreadedFace, sock: socket.socket, address: str, secured: Secured | None, *, refused: bool
    ) -> None:
        self._face = face
        self._client = Client(sock, lambda: face.cutting, secured)
        self._peer = Peer.of(address, secure=secured is not None)
        self._refusal = _no_thread() if refused else None
        self._body: BodyReader | None = None
        self.request: ThreadedRequest | None = None  # the one under way
        self._record = 0  # the connection's id in the flight recorder

    def run(self) -> None:
        """From the accepted connection to its end. Raises nothing."""
        face, client = self._face, self._client
        recorder = face.recorder
        if recorder is not None:
            self._record = recorder.accepted()
        try:
            client.shake_hands(face.present.limits.head_seconds, lambda: face.draining)
            head = self._refusal or self._take_head()
            if isinstance(head, GateError):
                self._refuse_unread(head)
            elif head is not None:
                self._answer(head)
            client.close(unread=self._unread)
        except ClientGone:
            request = self.request
            if request is not None:
                if request.code == "forwarded":
                    request.code = "client_gone"
                self._finished()
            client.cut()
        except BaseException as error:  # noqa: BLE001  # nobody is there to raise it to
            face.fault(error)
            self._finished()
            client.cut()
        finally:
            if recorder is not None:
                recorder.closed(self._record)
            face.closed(self)

    def turn_away(self) -> None:
        """Say that there is no thread, if that can be said without one, and close. By TLS it cannot."""
        request = self._begin(_unreadable(), self._face.present)
        request.endpoint = "unread"
        if self._client.secure:
            request.refused(_no_thread())
        else:
            answer = request.refusal(_no_thread())
            with suppress(ClientGone):
                self._client.send(answer)
        self._finished()
        self._client.hang_up()

    @property
    def _unread(self) -> bool:
        body = self._body
        return bool(self._client.buffer) or (body is not None and not body.done)

    def _finished(self) -> None:
        """Tell of the request, once."""
        request, self.request = self.request, None
        if request is not None:
            recorder = self._face.recorder
            if recorder is not None:
                recorder.ended(
                    request.record,
                    request.subject or recorder.subject(request.head.method, request.endpoint, feed=False),
                    request.code,
                    request.status,
                    request.sent,
                    request.received,
                    request.upstream_seconds,
                )
            self._face.finished(request)

    # -- the head

    def _take_head(self) -> RequestHead | GateError | None:
        """The head; or why it is refused; None: the client has left, or it is not waited for any longer."""
        client, face = self._client, self._face
        since = time.monotonic()
        while True:
            limits = face.present.limits
            waited = time.monotonic() - since
            if face.draining:
                return None
            if waited > limits.head_seconds:
                if not client.buffer:
                    return None  # as one of the spare connections that browsers open: it holds a thread
                client.buffer = b""
                return RequestTimeout("The head of the request did not come in time.")
            if not client.wait(True, limits.head_seconds):  # noqa: FBT003
                continue
            data = client.receive()
            if data is None:
                continue
            if not data:
                return None
            if not client.buffer:
                since = time.monotonic()
            client.buffer += data
            try:
                taken = take_head(client.buffer, limits.head_bytes, limits.header_count)
            except GateError as error:
                client.buffer = b""
                return error
            if taken is not None:
                client.buffer = client.buffer[taken[1] :]
                return taken[0]

    def _begin(self, head: RequestHead, present: Present) -> ThreadedRequest:
        gate = present.gate
        trace = gate.trace(head.fields) or new_trace()
        self.request = request = ThreadedRequest(head, self._peer, self._face.wall(), trace, traces=gate.traces)
        return request

    def _refuse_unread(self, error: GateError) -> None:
        request = self._begin(_unreadable(), self._face.present)
        request.endpoint = "unread"
        self._body = BodyReader(UNTIL_CLOSE)
        self._send(request.refusal(error))

    def _send(self, data: bytes) -> None:
        """The whole answer, or the last of it."""
        self._client.send(data)
        self._client.finish(self._face.present.limits.idle_seconds)
        self._finished()

    # -- the decision

    def _answer(self, head: RequestHead) -> None:
        present = self._face.present
        request = self._begin(head, present)
        try:
            try:
                if head.framing is not NO_BODY:
                    self._body = BodyReader(head.framing)
                    if head.framing.length > present.limits.body_bytes:
                        raise BodyTooLarge(f"The body is longer than {present.limits.body_bytes} bytes.")  # noqa: TRY301
                self._obey(request, present)
            except GateError:
                raise
            except ClientGone:
                raise
            except Exception as error:  # noqa: BLE001  # fail closed: nothing more is done for this request
                self._face.fault(error)
                raise InternalError("The gate failed to handle this request; its log says why.") from None
        except GateError as error:
            if request.status:
                request.refused(error)
                raise ClientGone from None
            request.lines = request.lines or present.gate.cors_lines(head.fields)
            self._send(request.refusal(error))

    def _obey(self, request: ThreadedRequest, present: Present) -> None:
        """Answer as the gate decides. Raises GateError."""
        head, gate, face = request.head, present.gate, self._face
        request.lines, preflight, _ = gate.screen(head)
        if preflight:
            status, pairs = gate.preflight(head)
            request.code = "preflight" if status < 400 else "preflight_refused"
            request.endpoint = "preflight"
            request.lines = b""
            self._send(request.whole(status, lines_of(pairs)))
            return
        request.target = target = classify(head.method, head.target)
        request.endpoint = target.endpoint
        first = target.segments[:1]
        page = face.pages.get(first) or face.pages.get(target.segments[:2])
        if page is not None:
            self._show(request, page, present)
        elif first == (b"_gate",):
            raise no_page()
        elif first and face.elsewhere(first[0]):
            raise NotImplementedByGate("The gate does not serve this in its mode threaded.", code="mode")
        else:
            self._forward(request)

    def _show(self, request: ThreadedRequest, page: Page, present: Present) -> None:
        asks = needs_person(page.access, present.admins.role, admin_listener=present.admin)
        request.endpoint = page.name
        request.code = "own"
        principal = None
        if asks:
            principal = self._admitted(request)
            request.principal = principal.name
            check_person(page.access, principal, present.admins)
        query = request.head.target.partition(b"?")[2]
        answer = self._face.call(page.ask, request.head.method, query, principal)
        lines = b"Content-Type: %b\r\nCache-Control: no-store\r\n" % answer.content_type
        self._send(request.whole(answer.status, lines, answer.body))

    def _admitted(self, request: ThreadedRequest) -> Principal:
        """Whose credential the request has. Raises GateError."""
        asked, person = False, None
        while True:
            present = self._face.present
            verdict = present.gate.admit(request.head, present.facts, request.started, asked=asked, person=person)
            if isinstance(verdict, Admission):
                return verdict.principal
            asked, person = self._find_out(verdict, present)

    def _forward(self, request: ThreadedRequest) -> None:
        asked, person, recorder = False, None, self._face.recorder
        if recorder is not None:
            feed = request.target is not None and request.target.feed
            request.subject = recorder.subject(request.head.method, request.endpoint, feed=feed)
        while True:
            present = self._face.present
            forward = self._decided(request, present, asked=asked, person=person)
            if isinstance(forward, Forward):
                break
            if recorder is not None:
                request.record = recorder.head_seen(request.subject, self._record)
            asked, person = self._find_out(forward, present)
        if recorder is not None:
            request.record = recorder.decided(request.subject, self._record)
        request.principal = forward.principal.name  # behind it: whose name is known has the id of its decision
        relay = Relay(self._client, request, forward, self._body, present, self._face)
        relay.run()
        self._client.finish(present.limits.idle_seconds)
        self._finished()

    def _decided(
        self, request: ThreadedRequest, present: Present, *, asked: bool, person: Principal | None
    ) -> Forward | NeedKeys | NeedPrincipal:
        target, gate = request.target, present.gate
        assert target is not None  # noqa: S101  # for the type checker: it was classified
        trace = request.trace if gate.traces else b""
        arguments = (request.head, target, self._peer, present.facts, request.started)
        try:
            verdict = gate.decide(*arguments, asked=asked, request_id=trace, person=person)
        except Unauthorized:
            raise
        except GateError:
            with suppress(GateError):  # whose it is, for logs
                admission = gate.admit(request.head, present.facts, request.started, person=person)
                if isinstance(admission, Admission):
                    request.principal = admission.principal.name
            raise
        assert not isinstance(verdict, NeedVerdict)  # noqa: S101  # for the type checker: threads are not patient
        return verdict

    def _find_out(self, need: NeedKeys | NeedPrincipal, present: Present) -> tuple[bool, Principal | None]:
        """Whether these facts were asked, and the person if that was the question. Raises GateError.

        A reload may have brought others meanwhile, and then nothing was asked of them.
        """
        face, person = self._face, None
        with face.waiting():
            if isinstance(need, NeedPrincipal):
                known = face.call(present.ask_people, need.credential, self._peer.address)
                person = known if face.present.ask_people == present.ask_people else None
            else:
                face.call(present.refresh, need.rules_id, need.kid)
        return face.present.facts is present.facts, person
