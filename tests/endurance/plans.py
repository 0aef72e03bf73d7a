"""What each request of the soak is, what CouchDB will do with it, and what may come of it: all from one seed.

A plan is made from the seed and the request's number alone, so that a failure can be played again.
"""

import json
from dataclasses import dataclass
from random import Random

FEEDS = ("longpoll", "continuous", "eventsource")
BEFORE = ("fin", "rst", "garbage", "mid_head", "interims", "switch", "two_lengths")  # no answer that could be passed on
WITHIN = ("cut_fin", "cut_rst", "bad_chunk")  # an answer has begun that will never be whole
AFTER = ("surplus", "closes")  # the answer is whole; what follows must not reach the next one
_SIZES = (0, 1, 17, 300, 300, 4_000, 20_000, 70_000)


def pattern(number, size):
    """`size` bytes that only this request has."""
    word = b"<%d>" % number
    return (word * (size // len(word) + 1))[:size]


@dataclass(frozen=True, slots=True)
class Answer:
    """What CouchDB says, and how. `fault` is "" or a word of the lists above, `at` where it comes, from 0 to 1.

    `early`: before it has read the request's body. `pieces`: how long the pieces are that it is sent in, 0 for whole.
    `stall`: seconds of rest somewhere in it.
    """

    status: int
    framing: str
    size: int
    interims: int
    fault: str
    at: float
    early: bool
    pieces: int
    stall: float


@dataclass(frozen=True, slots=True)
class Plan:
    """One request. `verdict`: 0 if it may reach CouchDB, else the status with which the gate refuses it.

    `framing` is how its body goes, "none", "length" or "chunked"; `feed` is "" or one of FEEDS; `lives`: seconds that
    its token is valid. `stays`: the feed does not end by itself.
    """

    number: int
    method: str
    path: str
    user: str
    token: str
    verdict: int
    framing: str
    size: int
    judged: bool
    designs: bool
    expects: bool
    feed: str
    stays: bool
    rows: int
    lives: int
    answer: Answer

    @property
    def target(self):
        """The request target, which bears the number."""
        more = f"&feed={self.feed}&since=7&heartbeat=1000" if self.feed else ""
        return f"{self.path}?soak={self.number}{more}"

    def body(self):
        """The request's body."""
        if not self.judged:
            return pattern(self.number, self.size)
        name = "_design/evil" if self.designs else "good"
        docs = [{"_id": "a", "pad": pattern(self.number, self.size).decode()}, {"_id": f"{name}-{self.number}"}]
        return json.dumps({"docs": docs, "new_edits": False}).encode()

    def answer_body(self):
        """The body of CouchDB's answer, when nothing goes wrong."""
        return b"" if self.answer.status in (204, 304) or self.method == "HEAD" else self.said()

    def said(self):
        """The bytes that stand for the answer's body, of which HEAD gets only the length."""
        return pattern(self.number, self.answer.size)


def _answer(random, *, bodied, forgiving):
    fault = ""
    if random.random() < (0.05 if forgiving else 0.3):
        fault = random.choice(random.choice((BEFORE, WITHIN, AFTER)))
    framing = random.choice(("length", "length", "chunked", "close"))
    if fault == "cut_fin" and framing == "close":
        fault = "cut_rst"  # a FIN is the end of such a body
    if fault == "bad_chunk":
        framing = "chunked"
    if fault in AFTER and framing == "close":
        framing = "length"
    return Answer(
        status=200 if fault in WITHIN else random.choice((200, 200, 200, 201, 404, 409, 304, 204)),
        framing=framing,
        size=random.choice(_SIZES[3:] if fault in WITHIN else _SIZES),
        interims=random.choice((0, 0, 0, 0, 1, 3)),
        fault=fault,
        at=random.random(),
        early=bodied and not fault and random.random() < 0.1,
        pieces=random.choice((0, 0, 0, 1, 7, 500, 5000)),
        stall=random.choice((0, 0, 0, 0, 0.02)),
    )


def plan(seed, number, *, keepalive):
    """The plan of request `number`. Without `keepalive` it goes to a listener that closes."""
    random = Random(f"{seed}/{number}")
    kind = random.choices(
        ("get", "head", "put", "bulk", "attachment", "feed", "refused", "own"), (30, 6, 16, 10, 6, 8, 18, 6)
    )[0]
    values = {"method": "GET", "path": f"/db/doc-{random.randrange(50)}", "token": "good", "verdict": 0, "lives": 600}
    values |= {"framing": "none", "size": 0, "judged": False, "designs": False, "expects": False}
    values |= {"feed": "", "stays": False, "rows": 0}
    if kind == "head":
        values["method"] = "HEAD"
    elif kind in ("put", "attachment"):
        values |= {"method": "PUT", "framing": random.choice(("length", "chunked")), "size": random.choice(_SIZES)}
        if kind == "attachment":
            values["path"] += "/photo.bin"
            values["size"] = random.choice((*_SIZES, 400_000))
    elif kind == "bulk":
        big = random.random() < 0.12
        values |= {"method": "POST", "path": "/db/_bulk_docs", "judged": True, "framing": "length"}
        values["framing"] = random.choice(("length", "length", "chunked"))
        values["size"] = random.randrange(1_100_000, 1_500_000) if big else random.choice((10, 900, 40_000))
        values["designs"] = random.random() < 0.25
        if values["designs"]:
            values["verdict"] = 403
    elif kind == "feed":
        values |= {"path": "/db/_changes", "feed": random.choice(FEEDS), "rows": random.randrange(30)}
        values["stays"] = random.random() < 0.5
        if values["stays"]:
            values["lives"] = random.choice((1, 2, 600))
    elif kind == "refused":
        values |= random.choice(
            (
                {"token": "none", "verdict": 401},
                {"token": "garbage", "verdict": 401},
                {"token": "forged", "verdict": 401},
                {"token": "expired", "verdict": 401},
                {"token": "twice", "verdict": 400},
                {"token": "none", "verdict": 431, "path": "/db/" + "x" * 9000},
                {"token": "none", "verdict": 400, "path": "/db/a b"},
                {"path": "/other/doc", "verdict": 403},
                {"path": "/_users/_all_docs", "verdict": 403},
                {"path": "/db/_design/evil", "method": "PUT", "verdict": 403, "framing": "length", "size": 300},
            )
        )
    elif kind == "own":
        values |= {"path": random.choice(("/_gate/health", "/_session")), "verdict": 200}
    bodied = values["framing"] != "none"
    values["expects"] = bodied and keepalive and random.random() < 0.1
    answer = _answer(random, bodied=bodied and not values["judged"], forgiving=bool(values["feed"]))
    return Plan(number=number, user=f"user-{random.randrange(20)}", answer=answer, **values)
