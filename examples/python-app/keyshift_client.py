"""A Keyshift client for Python, written from docs/protocol.md alone: redis-py, asyncio, one primary or Sentinels (no TLS)."""
from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import struct
import time
import uuid
import weakref
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, AsyncIterator, Callable, Mapping, Sequence

from redis.asyncio.connection import Connection
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import ConnectionError as NoConnection, RedisError, ResponseError

from keyshift_protocol import (
    UNMANAGED, Document, KeyshiftError, Route, entry_arguments, judged, list_pairs, parse_document, route, templates_of, told_epoch, utf8,
)  # fmt: skip

LEASE_MS, RENEW_S, POLL_S, KEEP_MS, ANSWER_S = 15000, 5.0, 0.5, 600000, 0.05
SCRIPTS = Path(__file__).resolve().parents[2] / "docs" / "protocol-scripts"
# First words of an error that came before the script's first command: what may be tried again, where the primary must be found first, ...
LEAVE = {"READONLY", "NOAUTH", "MASTERDOWN"}
AGAIN = {"LOADING", "BUSY", *LEAVE}
BEFORE = {"OOM", "NOREPLICAS", "NOPERM", "MISCONF", "CLUSTERDOWN", "NOSCRIPT", "WRONGKIND", *AGAIN}
# ... of which redis-py takes some off.
WORDS = {"BusyLoadingError": "LOADING", "ReadOnlyError": "READONLY", "AuthenticationError": "NOAUTH", "NoPermissionError": "NOPERM",
         "NoScriptError": "NOSCRIPT", "OutOfMemoryError": "OOM", "MasterDownError": "MASTERDOWN"}  # fmt: skip
# What a status of a script is to the caller. OK, EXISTS, EMPTY, LEASE_LOST are told apart where they come; the others say "not there".
FAILURES = {"STALE_EPOCH": "STALE_EPOCH", "NO_FENCE": "NOT_READY", "NOPERM": "REFUSED", "SHARED_NAME": "INVALID_ID",
            "WORKSPACE": "WORKSPACE_MISMATCH", "EXPIRY": "INVALID_ARGUMENT", "INVALID": "INVALID_ARGUMENT", "CONFLICT": "CONFLICT",
            "OPERATION_REUSED": "OPERATION_REUSED", "QUEUE": "OCCUPIED"}  # fmt: skip
Build = Callable[[Document], tuple[Sequence[Any], Sequence[Any]]]


class Line(Connection):
    """A connection to a primary. It carries one call at a time, sends nothing twice, and is reset, not flushed, however it ends."""

    member = ""

    async def on_connect(self) -> None:
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await super().on_connect()
        with suppress(ResponseError):  # A proxy may refuse it.
            await self.send_command("CLIENT", "SETNAME", f"keyshift-client:{self.member}")
            await self.read_response()
        await self.send_command("INFO", "replication")
        if b"role:master" not in await self.read_response():
            raise NoConnection("this is no primary")

    def abort(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()

    async def disconnect(self, *args: Any, **more: Any) -> None:
        self.abort()
        with suppress(Exception):
            await super().disconnect(*args, **more)

    @property
    def open(self) -> bool:
        return self._reader is not None and not self._reader.at_eof() and self._reader.exception() is None


@dataclass(frozen=True)
class Job:
    job_id: str
    value: Any
    expires_at: int | None


class Client:
    """
    One member. `encoding` is 'hash' (values are dicts of texts) or 'json' (values are JSON texts, kept byte for byte). `host` and `port` are
    those of the server, or the name of the primary and its Sentinels. Every operation takes `deadline` (seconds), every write `operation_id`.
    """

    def __init__(self, legacy: str, target: str, workspace_field: str, encoding: str, host: str, port: int | Sequence[tuple[str, int]],
                 routing: Path, *, db: int = 0, credentials: Callable[[], tuple[str | None, str | None]] = lambda: (None, None),
                 deadline: float = 5.0, pod: tuple[str, str] = ("", ""), version: str = "python", scripts: Path = SCRIPTS) -> None:  # fmt: skip
        self.templates, self.field, self.encoding = templates_of(legacy, target), workspace_field, encoding
        self._type = "hash" if encoding == "hash" else "string"
        self._host, self._port, self._db, self._credentials = host, port, db, credentials
        self._sentinels = [] if isinstance(port, int) else Sentinel(port, socket_timeout=0.5).sentinels
        self._file, self._deadline, self._pod, self._version = routing / "routing.json", deadline, pod, version
        self._scripts = {path.stem: path.read_bytes() for path in scripts.glob("*.lua")}
        self._shas = {name: hashlib.sha1(text).hexdigest() for name, text in self._scripts.items()}
        self.member, self.document, self.problem = str(uuid.uuid4()), UNMANAGED, ""  # problem: why the newest file is not followed
        self._foreign = False  # a document of other templates came
        self._hashes = {0: ""}  # of the documents followed
        self._flight: Counter[int] = Counter()  # operations in flight by epoch
        self._fence: str | None = None  # of the last renewal; None: not registered
        self._closed, self._met, self._told, self._example = False, 0, 0, ""
        self._lines: weakref.WeakSet[Line] = weakref.WeakSet()
        self._idle: list[Line] = []
        self._renew, self._tasks = asyncio.Event(), list[asyncio.Task[None]]()
        self._reaped: dict[str, float] = {}
        self.counts: Counter[tuple[str, ...]] = Counter()  # ('tries',), ('stale',), ('served', 'target'), ('denied', workspace), ...

    # Life of the process

    async def start(self) -> None:
        """Reads the document, registers, and goes on following and renewing until `close`."""
        await self.poll()
        self._tasks = [asyncio.create_task(work()) for work in (self._follow, self._keep_lease)]

    @property
    def ready(self) -> bool:
        """For the readiness probe."""
        routed = self.document.epoch > 0 or (self._fence == "" and not self._foreign)
        return routed and self._fence is not None and not self._closed

    async def close(self, patience: float = 3.0) -> None:
        """Takes no new operation, waits for those in flight, ends the lease."""
        self._closed = True
        end = time.monotonic() + patience
        while self._flight.total() and time.monotonic() < end:
            await asyncio.sleep(0.01)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(KeyshiftError):
            keys, end = [self._control(f"lease:{self.member}"), self._control("illegal-ids")], time.monotonic() + 1
            async with self._line(end) as line:
                await self._send(line, "member-release", keys, [self.member, self._met - self._told, self._example], end)
        await self.shrink()

    async def poll(self) -> bool:
        """Reads the routing file; True where a higher epoch is followed now."""
        following = self.document.epoch
        try:
            document = parse_document(self._file.read_text("utf-8"))
        except FileNotFoundError:
            self.problem = "the file is gone" if following else ""
            return False
        except (OSError, ValueError) as error:
            self.problem = str(error)
            return False
        if document.templates is not self.templates or document.workspaceField != self.field:
            self._foreign, self.problem = True, "of other templates than this client"
        elif document.epoch < following:
            self.problem = f"epoch {document.epoch} is below {following}"
        elif document.epoch == following:
            self.problem = "" if self._hashes[following] == document.hash else f"epoch {following} came with other content"
        elif not await self._confirmed():
            self.problem = "the Sentinels do not confirm the primary"
        elif document.epoch > self.document.epoch:  # Another poll may have been quicker meanwhile.
            self.document, self.problem, self._foreign = document, "", False
            self._hashes[document.epoch] = document.hash
            self._renew.set()
            return True
        return False

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            await self.poll()
            await self._confirmed()

    async def _keep_lease(self) -> None:
        while True:
            self._renew.clear()
            wait = 0.25
            with suppress(KeyshiftError):
                await self._register(time.monotonic() + RENEW_S)
                wait = RENEW_S
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._renew.wait(), wait)

    async def _register(self, end: float) -> None:
        async with self._line(end) as line:
            told, met = told_epoch(self.document.epoch, +self._flight), self._met
            keys = [self._control(name) for name in ("fence", "members", f"lease:{self.member}", "illegal-ids")]
            argv = [self.member, told, self._hashes[told], LEASE_MS, *self._pod, self._version, met - self._told, self._example]
            status, answer = await self._send(line, "member-renew", keys, argv, end)
        if status != "OK":
            raise KeyshiftError("REFUSED", f"{status} {answer.decode()}")
        self._fence, self._told = answer.decode(), max(self._told, met)

    # Connections

    async def _primary(self) -> tuple[tuple[str, int], bool]:
        """Where all Sentinels together say that the primary is, and whether more than half name it."""
        asked = [asyncio.wait_for(one.sentinel_master(self._host), 1) for one in self._sentinels]
        told = await asyncio.gather(*asked, return_exceptions=True)
        masters = [(one["config-epoch"], (one["ip"], one["port"])) for one in told if isinstance(one, dict)]
        if not masters:
            raise KeyshiftError("NOT_READY", f"no Sentinel answers: {told}", again=True)
        address = max(masters)[1]  # One that was cut off goes on naming the old one.
        return address, 2 * sum(named == address for _, named in masters) > len(self._sentinels)

    async def _confirmed(self) -> bool:
        """Leaves servers that are not the primary. True where more than half of the Sentinels name it, or there are none."""
        if not self._sentinels:
            return True
        try:
            (host, port), sure = await self._primary()
        except KeyshiftError:
            return False
        for line in self._lines:
            if (line.host, line.port) != (host, port):
                line.abort()
        return sure

    @asynccontextmanager
    async def _line(self, end: float) -> AsyncIterator[Line]:
        """A connection on which nothing is in flight, taken back afterwards. NOT_READY: nothing was sent."""
        while self._idle and not self._idle[-1].open:
            await self._idle.pop().disconnect()
        line = self._idle.pop() if self._idle else await self._connect(end)
        try:
            yield line
        finally:
            if line.open:
                self._idle.append(line)

    async def _connect(self, end: float) -> Line:
        user, password = self._credentials()
        try:
            async with asyncio.timeout_at(end):  # The clock of the loop is time.monotonic.
                host, port = (await self._primary())[0] if self._sentinels else (self._host, self._port)
                line = Line(host=host, port=port, db=self._db, username=user, password=password)
                line.member = self.member
                self._lines.add(line)
                await line.connect()
        except (RedisError, OSError, TimeoutError) as error:
            raise KeyshiftError("NOT_READY", f"no connection: {error!r}", again=True) from error
        if self._fence is not None:
            self._renew.set()
        return line

    async def shrink(self) -> None:
        """Ends idle connections; those that are needed come back."""
        while self._idle:
            await self._idle.pop().disconnect()

    async def _exchange(self, line: Line, end: float, *command: Any) -> Any:
        """One command and its reply. UNKNOWN_OUTCOME ends the connection."""
        try:
            async with asyncio.timeout_at(end):
                await line.send_command(*command, check_health=False)
                return await line.read_response()
        except UnicodeEncodeError as error:
            raise KeyshiftError("INVALID_ARGUMENT", f"a text is not well-formed: {error}") from error
        except (RedisError, OSError, TimeoutError) as error:
            word = WORDS.get(type(error).__name__, str(error).split(" ", 1)[0])
            if "The user executing the script can't" in str(error):
                word = "NOPERM"
            if word in LEAVE or word not in BEFORE:
                await line.disconnect()
            if word in BEFORE:
                raise KeyshiftError("REFUSED", f"{word} {error}", again=word in AGAIN) from error
            raise KeyshiftError("UNKNOWN_OUTCOME", f"no answer: {error!r}") from error

    async def _send(self, line: Line, script: str, keys: Sequence[Any], argv: Sequence[Any], end: float) -> list[Any]:
        """Calls a script: [status, ...] of its answer."""
        token = uuid.uuid4().hex
        arguments = [len(keys), *keys, token, *argv]
        try:
            reply = await self._exchange(line, end, "EVALSHA", self._shas[script], *arguments)
        except KeyshiftError as error:
            if "NOSCRIPT" not in str(error):
                raise
            reply = await self._exchange(line, end, "EVAL", self._scripts[script], *arguments)
        if not isinstance(reply, list) or len(reply) < 2 or reply[0] != token.encode():
            await line.disconnect()
            raise KeyshiftError("UNKNOWN_OUTCOME", "the answer belongs to another call")
        return [reply[1].decode(), *reply[2:]]

    # Life of an operation

    async def _try(self, script: str, build: Build, spare: float, end: float) -> list[Any]:
        """One route and one script. What is in flight is counted from the route to the answer or the end of the connection."""
        while not self.ready:
            if self._closed or time.monotonic() > end:
                raise KeyshiftError("NOT_READY", "closed" if self._closed else self.problem or "no routing, or not registered", again=True)
            await asyncio.sleep(0.02)
        async with self._line(end) as line:
            if not self.ready or end - time.monotonic() <= spare:
                raise KeyshiftError("NOT_READY", "too late to send it", again=True)
            document, epoch = self.document, self.document.epoch
            keys, argv = build(document)
            self.counts["tries",] += 1
            self._flight[epoch] += 1
            try:
                if script == "job-create" and self._met > self._told:
                    await self._tell(spare, end)
                return await self._send(line, script, keys, [epoch, *argv], end)
            finally:
                self._flight[epoch] -= 1
                if self.document is not document:
                    self._renew.set()

    async def _tell(self, spare: float, end: float) -> None:
        """Before a job is made: the step to phase 1 must find the count of its id, whatever becomes of this process."""
        try:
            await self._register(end - spare)
        except KeyshiftError as error:
            raise KeyshiftError("NOT_READY", f"its id was not counted as one that phase 1 refuses: {error}", again=True) from error

    async def _run(self, script: str, build: Build, *, deadline: float | None = None, write: bool = True, repeat: bool = False) -> list[Any]:
        """Tries until something settles it: [status, ...], or a KeyshiftError. `repeat`: a write with an operation id."""
        end = time.monotonic() + (self._deadline if deadline is None else deadline)
        spare = min(ANSWER_S, (end - time.monotonic()) / 10) if write else 0.0
        doubt: KeyshiftError | None = None  # that of a write which may have been done
        pause = 0.02
        while True:
            try:
                status, *rest = answer = await self._try(script, build, spare, end)
                if status in FAILURES:
                    self.counts["stale",] += status == "STALE_EPOCH"
                    detail = b" ".join(item for item in rest if isinstance(item, bytes)).decode(errors="replace")
                    raise KeyshiftError(FAILURES[status], f"{status} {detail}", again=status in ("STALE_EPOCH", "NO_FENCE"))
                if status == "OK" or doubt is None:
                    return answer
                raise doubt
            except KeyshiftError as error:
                unknown = error.code == "UNKNOWN_OUTCOME"
                if error is doubt or not (error.again or unknown) or (unknown and write and not repeat):
                    raise doubt or error
                doubt = error if unknown and write else doubt
                last = doubt or error
            if not await self.poll():
                await self._pause(last, pause * random.uniform(0.5, 1), end - spare)
                pause = min(pause * 2, 0.5)

    async def _pause(self, error: KeyshiftError, seconds: float, end: float) -> None:
        if self._closed or time.monotonic() + seconds >= end:
            raise error
        await asyncio.sleep(seconds)

    def _control(self, name: str) -> str:
        return self.templates.prefix + name

    async def _on_job(self, script: str, workspace: str | None, job: str, *argv: Any, keys: Sequence[str] = (), pushes: bool = False,
                      write: bool = True, operation_id: str | None = None, deadline: float | None = None) -> list[Any]:  # fmt: skip
        """
        One script on one job: [status, ...], EXISTS or what says "not there" too, else a KeyshiftError. Of `argv`, what can be called
        takes the route. `workspace` None: a job that was delivered without one.
        """
        if operation_id is not None and not 1 <= len(utf8(operation_id) or b"") <= 512:
            raise KeyshiftError("INVALID_ARGUMENT", "an operation id has 1 to 512 bytes")
        fence = self._control("fence")
        way = Route(self.templates.legacy_key(job), self.templates.legacy_key(job))

        def count() -> None:
            if way.illegal:
                self._met, self._example = self._met + 1, (job if self.templates.refused(job) else workspace or "")[:200]

        def build(document: Document) -> tuple[Sequence[Any], Sequence[Any]]:
            nonlocal way
            if workspace is not None:
                way = route(self.templates, document, workspace, job, pushes)
            if script == "job-create":
                count()
            given = [item(way) if callable(item) else item for item in argv]
            head = [workspace or "", self.field, self._type, self.templates.forbidden, way.order]
            return [fence, way.legacy, way.target, self._control(f"op:{operation_id}") if operation_id else fence, *keys], head + given

        answer = await self._run(script, build, deadline=deadline, write=write, repeat=operation_id is not None)
        if answer[0] == "OK" and script != "job-create":
            count()
        self.counts["denied" if answer[0] == "DENIED" else "allowed", workspace or ""] += answer[0] in ("OK", "DENIED")
        return answer

    def _job(self, job: str, raw: Any, expiry: bytes) -> Job:
        try:
            texts = [part.decode() for part in (raw if self.encoding == "hash" else [raw])]
        except UnicodeDecodeError:
            raise KeyshiftError("OCCUPIED", "the value is no UTF-8") from None
        value = dict(zip(texts[::2], texts[1::2])) if self.encoding == "hash" else texts[0]
        return Job(job, value, None if int(expiry) < 0 else int(expiry))

    # Operations. Times to live and expiries are in ms. False or None: there is no such job.

    async def create(self, workspace: str, job: str, value: Any, *, queue: str | None = None, ttl_ms: int | None = None,
                     expires_at: int | None = None, **more: Any) -> None:  # fmt: skip
        """Makes a job that does not exist, and its queue entry in the same step. JOB_EXISTS where it does."""
        flat = [value]
        if self.encoding == "hash":
            value = {self.field: workspace, **value}
            if value[self.field] != workspace:
                raise KeyshiftError("WORKSPACE_MISMATCH", "the value names another workspace")
            flat = [part for pair in value.items() for part in pair]
        keys = self._queue_keys(queue) if queue else [self._control("fence")] * 3
        status, *_ = await self._on_job(
            "job-create", workspace, job, lambda way: int(way.create_target), *_expiry(ttl_ms, expires_at),
            lambda way: way.entry if queue else "", KEEP_MS, *flat, keys=keys, pushes=queue is not None, **more)  # fmt: skip
        if status != "OK":
            raise KeyshiftError("JOB_EXISTS", status)

    async def get(self, workspace: str | None, job: str, **more: Any) -> Job | None:
        keys = [self._control("backfilled"), self._control("fallback-reads")]
        status, *rest = await self._on_job("job-get", workspace, job, keys=keys, write=False, **more)
        self.counts["served", rest[0].decode() if status == "OK" else "none"] += 1
        return self._job(job, rest[3], rest[2]) if status == "OK" else None

    async def update(self, workspace: str, job: str, fields: Mapping[str, str], *, expect: Mapping[str, str | None] | None = None,
                     **more: Any) -> bool:  # fmt: skip
        """hash: sets fields, where `expect` holds (None: absent), else CONFLICT."""
        expected = [part for field, value in (expect or {}).items() for part in (field, int(value is not None), value or "")]
        changes = [part for pair in fields.items() for part in pair]
        return (await self._on_job("job-update", workspace, job, KEEP_MS, len(expect or {}), *expected, *changes, **more))[0] == "OK"

    async def update_text(self, workspace: str, job: str, change: Callable[[str], str], *, attempts: int = 10,
                          deadline: float | None = None, **more: Any) -> bool:  # fmt: skip
        """json: writes what `change` makes of the stored text, if that is still the same by then."""
        end = time.monotonic() + (self._deadline if deadline is None else deadline)
        while True:
            found = await self.get(workspace, job, deadline=end - time.monotonic())
            if found is None and "operation_id" not in more:
                return False
            # A repeat whose job is gone by now: the memory is asked all the same.
            texts = [found.value, change(found.value)] if found else ["", ""]
            try:
                answer = await self._on_job("job-update-text", workspace, job, KEEP_MS, *texts, deadline=end - time.monotonic(), **more)
                return answer[0] == "OK"
            except KeyshiftError as error:
                attempts -= 1
                if error.code != "CONFLICT" or attempts == 0:
                    raise

    async def mutate(self, workspace: str, job: str, commands: Sequence[Sequence[Any]], **more: Any) -> list[str] | None:
        """hash: HSET HDEL HINCRBY HINCRBYFLOAT, at most 1,000, all or none; their results."""
        if not 1 <= len(commands) <= 1000:
            raise KeyshiftError("INVALID_ARGUMENT", "1 to 1,000 commands")
        argv = [part for name, *rest in commands for part in (name, len(rest), *rest)]
        status, *rest = await self._on_job("job-mutate", workspace, job, KEEP_MS, *argv, **more)
        return [item.decode() if isinstance(item, bytes) else str(item) for item in rest[1:]] if status == "OK" else None

    async def expire(self, workspace: str, job: str, *, ttl_ms: int | None = None, expires_at: int | None = None, **more: Any) -> bool:
        """Gives the job an expiry, or takes it away where neither is given."""
        return (await self._on_job("job-expire", workspace, job, KEEP_MS, *_expiry(ttl_ms, expires_at), **more))[0] == "OK"

    async def delete(self, workspace: str, job: str, **more: Any) -> bool:
        return (await self._on_job("job-delete", workspace, job, KEEP_MS, **more))[0] == "OK"

    async def push(self, workspace: str, job: str, queue: str, **more: Any) -> bool:
        """Another entry of a job that exists."""
        keys = self._queue_keys(queue)
        return (await self._on_job("queue-push", workspace, job, KEEP_MS, lambda way: way.entry, keys=keys, pushes=True, **more))[0] == "OK"

    async def list(self, workspace: str, *, page: int = 100, deadline: float | None = None) -> AsyncIterator[Job]:
        """Every job of the workspace once. Ends with an error where its connection is lost: a cursor is good on that one only."""
        end = time.monotonic() + (self._deadline if deadline is None else deadline)
        judged(self.templates, self.document, workspace)
        seen, cursor = set[str](), None
        async with self._line(end) as line:
            while cursor != b"0":
                scan = ["SCAN", cursor or 0, "MATCH", self.templates.scan_pattern, "COUNT", page]
                cursor, names = await self._exchange(line, end, *scan)
                for job in await self.page(workspace, names, end - time.monotonic()):
                    if job.job_id not in seen:
                        seen.add(job.job_id)
                        yield job

    async def page(self, workspace: str, names: Sequence[bytes], deadline: float | None = None) -> Sequence[Job]:
        """The jobs of the workspace among names that SCAN gave."""
        pairs: Sequence[tuple[str, str, str]] = ()

        def build(document: Document) -> tuple[Sequence[Any], Sequence[Any]]:
            nonlocal pairs
            judged(self.templates, document, workspace)
            pairs = list_pairs(self.templates, document, workspace, names)
            keys = [key for _, legacy, target in pairs for key in (legacy, target)]
            return [self._control("fence"), *keys], [workspace, self.field, self._type, "LT" if document.phase >= 2 else "L"]

        _, *rest = await self._run("job-list-page", build, deadline=deadline, write=False)
        return [self._job(pairs[int(index) - 1][0], raw, expiry) for index, expiry, raw in zip(rest[::3], rest[1::3], rest[2::3])]

    # Queues

    def _queue_keys(self, queue: str) -> Sequence[str]:
        return [queue, self._control(f"queued:{queue}"), self._control("depth")]

    async def _on_queue(self, script: str, keys: Sequence[str], *argv: Any, deadline: float | None = None) -> Sequence[Any]:
        return await self._run(script, lambda _: ([self._control("fence"), *keys], argv), deadline=deadline)

    async def dequeue(self, queue: str, *, wait: float = 0, lease_ms: int = 60000, **more: Any) -> Delivery | None:
        """The oldest entry, held for `lease_ms`; at least once. None: nothing came within `wait` seconds."""
        until, pause = time.monotonic() + wait, 0.02
        while True:
            if time.monotonic() - self._reaped.get(queue, -1e9) >= min(lease_ms / 2000, 10):
                self._reaped[queue] = time.monotonic()
                await self.reap(queue, lease_ms=lease_ms, **more)
            keys = [queue, self._control(f"processing:{queue}"), self._control(f"leases:{queue}")]
            status, *rest = await self._on_queue("queue-move", keys, lease_ms, **more)
            if status == "EMPTY":
                if time.monotonic() + pause > until:
                    return None
                await asyncio.sleep(pause * random.uniform(0.5, 1))
                pause = min(pause * 2, 0.5)
                continue
            held = Delivery(self, queue, *rest)
            status, *rest = await held._on_entry("queue-resolve", **more)
            self.counts["removed", status.lower()] += status in ("GONE", "MALFORMED")
            if status == "OK":
                held.workspace, held.job_id = rest[0].decode() or None, rest[1].decode()
                return held

    async def reap(self, queue: str, *, lease_ms: int = 60000, **more: Any) -> int:
        """Puts entries back whose lease has ended; how many."""
        keys = [self._control(f"processing:{queue}"), self._control(f"leases:{queue}")]
        _, *rest = await self._on_queue("queue-expired", keys, lease_ms, 100, **more)
        entries = [Delivery(self, queue, *held) for held in zip(rest[::2], rest[1::2])]
        return sum([(await held._on_entry("queue-return", "reap", **more))[0] == "OK" for held in entries])


def _expiry(ttl_ms: int | None, expires_at: int | None) -> tuple[str, int]:
    return ("ttl", ttl_ms) if ttl_ms is not None else ("at", expires_at) if expires_at is not None else ("none", 0)


@dataclass
class Delivery:
    """An entry of a queue that this consumer holds. Its methods fail with LEASE_LOST where someone else may have it."""

    client: Client
    queue: str
    entry: bytes
    lease_end: bytes
    workspace: str | None = None  # None: epochs 0 and 1 deliver jobs without one
    job_id: str = ""

    async def read(self, **more: Any) -> Job | None:
        return await self.client.get(self.workspace, self.job_id, **more)

    async def ack(self, **more: Any) -> None:
        """The work is done."""
        keys = [*self._keys("processing", "leases", "queued"), self.client._control("depth")]
        _held(await self.client._on_queue("queue-ack", keys, self.entry, self.lease_end, **more))

    async def extend(self, lease_ms: int, **more: Any) -> None:
        """Holds it for `lease_ms` from now."""
        answer = await self.client._on_queue("queue-extend", self._keys("leases"), self.entry, self.lease_end, lease_ms, **more)
        self.lease_end = _held(answer)[1]

    async def nack(self, **more: Any) -> None:
        """Back to the end of the queue."""
        _held(await self._on_entry("queue-return", "nack", **more))

    def _keys(self, *names: str) -> Sequence[str]:
        return [self.client._control(f"{name}:{self.queue}") for name in names]

    async def _on_entry(self, script: str, *what: str, deadline: float | None = None) -> Sequence[Any]:
        """queue-resolve, or queue-return with what to do: [status, ...], LEASE_LOST too."""
        client, fence, forbidden = self.client, self.client._control("fence"), self.client.templates.forbidden

        def build(document: Document) -> tuple[Sequence[Any], Sequence[Any]]:
            own, (order, phase, *spelled) = entry_arguments(client.templates, document, self.entry)
            keys = [fence, self.queue, *self._keys("processing", "leases", "queued"), client._control("depth"), *self._keys("dead")]
            argv = [client.field, forbidden, order, phase, self.entry, self.lease_end, *spelled, *what, *(forbidden for _ in what)]
            return [*keys, *(key or fence for key in own)], argv

        return await client._run(script, build, deadline=deadline)


def _held(answer: Sequence[Any]) -> Sequence[Any]:
    if answer[0] == "LEASE_LOST":
        raise KeyshiftError("LEASE_LOST", "someone else may have the entry by now")
    return answer
