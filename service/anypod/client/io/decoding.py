"""What a replica sends, from bytes to frames, whatever the transport.

Owns where a binary event's payload stands on each of them. Must not know what a frame brings about.
"""

import re
from base64 import b64decode
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from anypod.client.types import HistoryPage, Undecodable
from anypod.core import frames
from anypod.core.errors import CODES, AnypodError
from anypod.core.event import split_binary
from anypod.core.frames import Event, ServerFrame


class PageBody(Struct):
    """A page of events by HTTP."""

    events: list[Event]
    cursor: str
    folded: int
    more: bool
    closed: bool = False


class _HistoryBody(Struct):
    events: list[Event]
    before: str | None = None


class _Result(Struct):
    id: str
    seq: int
    cursor: str
    duplicate: bool


class _ResultsBody(Struct):
    results: list[_Result]


class _Problem(Struct):
    """RFC 9457, and what we add; with `cursor_gone` the fields of the reset stand beside these."""

    code: str
    title: str = ""
    detail: str = ""
    retry_after_ms: int | None = None


T = TypeVar("T")

_page: Final = msgspec.json.Decoder(PageBody)
_history: Final = msgspec.json.Decoder(_HistoryBody)
_results: Final = msgspec.json.Decoder(_ResultsBody)
_problem: Final = msgspec.json.Decoder(_Problem)

_DATA_START: Final = b',"data":'  # within a string its quotes would be escaped
_EVENTS_START: Final = b'{"events":['
_BRACES: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\]]')  # strings are skipped whole


def decode_text(text: bytes) -> ServerFrame:
    """A frame as text; an event's `data` is `Undecodable` when it alone is at fault. Raises AnypodError `malformed`."""
    try:
        frame = frames.decode_server(text)
    except AnypodError as error:
        return _without_data(text, error)
    return _whole(frame) if isinstance(frame, Event) else frame


def _without_data(text: bytes, error: AnypodError) -> Event:
    """An event without its data, which is the last of its members: were it passed over, the hole would be asked for without end."""
    head, _, rest = text.rstrip().partition(_DATA_START)
    try:
        frame = frames.decode_server(head + b"}")
    except AnypodError:
        raise error from None
    if not rest.endswith(b"}") or not isinstance(frame, Event):
        raise error
    frame.data = Undecodable(rest[:-1])
    return frame


def decode_binary(message: bytes) -> Event:
    """A binary frame. Raises AnypodError `malformed`."""
    header, payload = split_binary(message)
    frame = frames.decode_server(header)
    if not isinstance(frame, Event):
        raise AnypodError("malformed", "the header of a binary frame is an event")
    frame.data = payload
    return frame


def decode_page(body: bytes) -> PageBody:
    try:
        page = _decoded(_page, body)
    except AnypodError as error:
        events, rest = _one_by_one(body, error)
        page = _decoded(_page, rest)
        page.events = events
        return page
    for event in page.events:
        _whole(event)
    return page


def decode_history(body: bytes) -> HistoryPage:
    try:
        page = _decoded(_history, body)
    except AnypodError as error:
        events, rest = _one_by_one(body, error)
        return HistoryPage(events, _decoded(_history, rest).before)
    return HistoryPage([_whole(event) for event in page.events], page.before)


def _one_by_one(body: bytes, error: AnypodError) -> tuple[list[Event], bytes]:
    """The events of a page that cannot be decoded as a whole, and the page without them. Raises `error` when it is no page of events.

    The page is cut by its braces alone: nesting that no decoder follows is followed here.
    """
    if not body.startswith(_EVENTS_START):
        raise error
    events: list[Event] = []
    depth = start = 0
    for mark in _BRACES.finditer(body, len(_EVENTS_START)):
        match mark[0]:
            case b"{":
                start = mark.start() if depth == 0 else start
                depth += 1
            case b"}":
                depth -= 1
                if depth == 0:
                    events.append(_event(body[start : mark.end()], error))
            case b"]" if depth == 0:
                return events, _EVENTS_START + body[mark.start() :]
            case _:
                pass  # a string, or the end of an array within an event
    raise error


def _event(text: bytes, error: AnypodError) -> Event:
    frame = decode_text(text)
    if not isinstance(frame, Event):
        raise error
    return frame


def decode_published(body: bytes) -> frames.PublishedFrame:
    """The answer to a publish of one event."""
    (result,) = _decoded(_results, body).results
    return frames.PublishedFrame(id=result.id, seq=result.seq, cursor=result.cursor, duplicate=result.duplicate)


def decode_problem(body: bytes, retry_after_ms: int | None) -> AnypodError | None:
    """The error that a problem document tells of, None when it is not one of ours. `retry_after_ms`: what the headers said."""
    try:
        problem = _problem.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    code = next((code for code in CODES if code == problem.code), None)
    if code is None:
        return None
    wait_ms = problem.retry_after_ms if problem.retry_after_ms is not None else retry_after_ms
    reset = _reset(body) if code == "cursor_gone" else None
    return AnypodError(code, problem.detail or problem.title, retry_after_ms=wait_ms, reset=reset)


def _reset(body: bytes) -> bytes | None:
    try:
        return body if isinstance(frames.decode_server(body), frames.ResetFrame) else None
    except AnypodError:
        return None


def _whole(event: Event) -> Event:
    """Where transports carry text alone, a payload is told in base64."""
    if event.data_base64 is not None:
        try:
            event.data, event.data_base64 = b64decode(event.data_base64, validate=True), None
        except ValueError as exc:
            raise AnypodError("malformed", "data_base64 is not base64") from exc
    return event


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise AnypodError("malformed", "the answer is not of this protocol") from exc
