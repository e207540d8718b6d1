"""A Keyshift client for Python, written from docs/protocol.md alone: redis-py, asyncio, one primary (no Sentinels, no TLS)."""
from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import struct
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, AsyncIterator, Awaitable, Callable, Mapping, Sequence

from redis import exceptions as refused
from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from keyshift_protocol import (
    Document, InvalidId, KeyshiftError, Route, entry_arguments, list_pairs, parse_document, produced_entry, route, told_epoch,
    templates_of, text_of, utf8,
)  # fmt: skip

LEASE_MS, RENEW_S, POLL_S, KEEP_MS, ANSWER_S = 15000, 5.0, 0.5, 600000, 0.05
SCRIPTS = Path(__file__).resolve().parents[2] / "docs" / "protocol-scripts"
# First words of an error that came before the script's first command, and whether to try again by oneself.
BEFORE = {"READONLY": True, "LOADING": True, "BUSY": True, "NOAUTH": True, "MASTERDOWN": True, "OOM": False, "NOREPLICAS": False,
          "NOPERM": False, "MISCONF": False, "CLUSTERDOWN": False, "NOSCRIPT": False}  # fmt: skip
LEAVE = ("READONLY", "NOAUTH", "MASTERDOWN")  # Find the primary again.
# redis-py takes the first word off these.
WORDS = {"BusyLoadingError": "LOADING", "ReadOnlyError": "READONLY", "AuthenticationError": "NOAUTH", "NoPermissionError": "NOPERM",
         "NoScriptError": "NOSCRIPT", "OutOfMemoryError": "OOM", "MasterDownError": "MASTERDOWN"}  # fmt: skip


class NotReady(KeyshiftError):
    """Nothing was sent: no connection, no routing, closed. Try again."""

    code = "NOT_READY"


class StaleEpoch(KeyshiftError):
    """Nothing was done: the fence is above the document of this client. Try again."""

    code = "STALE_EPOCH"


class UnknownOutcome(KeyshiftError):
    """It took effect once or not at all. Read first; a write with an operation id may be sent again."""

    code = "UNKNOWN_OUTCOME"


class Refused(KeyshiftError):
    """Redis refused before the first write; `word` is its reason."""

    code = "REFUSED"

    def __init__(self, word: str, message: str) -> None:
        super().__init__(f"{word} {message}")
        self.word = word


class Mistake(KeyshiftError):
    """Nothing was done, and the same call will not work again; `code` says which mistake or state it met."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


# What a status other than OK tells the caller; those not named here mean "not there".
FAILURES = {"EXISTS": "JOB_EXISTS", "WORKSPACE": "WORKSPACE_MISMATCH", "EXPIRY": "INVALID_ARGUMENT", "INVALID": "INVALID_ARGUMENT",
            "CONFLICT": "CONFLICT", "OPERATION_REUSED": "OPERATION_REUSED", "QUEUE": "OCCUPIED", "LEASE_LOST": "LEASE_LOST"}  # fmt: skip
Build = Callable[[Document | None], tuple[Sequence[Any], Sequence[Any]]]


@dataclass(frozen=True)
class Job:
    job_id: str
    value: Any
    expires_at: int | None


class Client:
    """One member. `encoding` is 'hash' (values are dicts of texts) or 'json' (values are JSON texts, kept byte for byte)."""

    def __init__(self, legacy: str, target: str, workspace_field: str, encoding: str, host: str, port: int, routing: Path, *, db: int = 0,
                 credentials: Callable[[], tuple[str | None, str | None]] = lambda: (None, None), deadline: float = 5.0,
                 pod: tuple[str, str] = ("", ""), version: str = "python", scripts: Path = SCRIPTS) -> None:  # fmt: skip
        self.templates, self.field, self.encoding = templates_of(legacy, target), workspace_field, encoding
        self._type = "hash" if encoding == "hash" else "string"
        self._address: dict[str, Any] = {"host": host, "port": port, "db": db}
        self._credentials, self._file, self._deadline = credentials, routing / "routing.json", deadline
        self._scripts = {path.stem: path.read_bytes() for path in scripts.glob("*.lua")}
        self._shas = {name: hashlib.sha1(text).hexdigest() for name, text in self._scripts.items()}
        self.member, self._pod, self._version = str(uuid.uuid4()), pod, version
        self.document: Document | None = None
        self.problem: str | None = None  # why the newest routing file is not followed
        self._foreign = False  # a document of other templates came
        self._hashes: dict[int, str] = {0: ""}
        self._flight: Counter[int] = Counter()  # operations in flight by epoch
        self._fence: str | None = None  # of the last renewal; None: not registered
        self._closed = False
        self._illegal, self._example = 0, ""
        self._idle: list[Connection] = []
        self._renew, self._tasks = asyncio.Event(), list[asyncio.Task[None]]()
        self._reaped: dict[str, float] = {}
        self.counts: Counter[tuple[str, ...]] = Counter()  # ('tries',), ('stale',), ('served', 'target'), ('denied', workspace), ...

    # Life of the process

    async def start(self) -> None:
        """Reads the document, registers, and goes on following and renewing until `close`."""
        self.poll()
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._keep_lease())]

    @property
    def ready(self) -> bool:
        """For the readiness probe."""
        if self._closed or self._fence is None:
            return False
        return self.document is not None or (self._fence == "" and not self._foreign)

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
            keys = [self._control(f"lease:{self.member}"), self._control("illegal-ids")]
            conn = await self._take(time.monotonic() + 1)
            await self._send(conn, "member-release", keys, [self.member, self._illegal, self._example[:200]], time.monotonic() + 1)
            self._idle.append(conn)
        for conn in self._idle:
            await self._drop(conn)

    def poll(self) -> bool:
        """Reads the routing file; True where a higher epoch is followed now."""
        try:
            document = parse_document(self._file.read_text("utf-8"))
        except FileNotFoundError:
            self.problem = "the file is gone" if self.document else None
            return False
        except (OSError, ValueError) as error:
            self.problem = str(error)
            return False
        epoch = self.document.epoch if self.document else 0
        if document.templates is not self.templates or document.workspace_field != self.field:
            self._foreign, self.problem = True, "of other templates than this client"
        elif document.epoch < epoch:
            self.problem = f"epoch {document.epoch} is below {epoch}"
        elif document.epoch == epoch:
            self.problem = None if self._hashes[epoch] == document.hash else f"epoch {epoch} came with other content"
        else:
            self.document, self.problem, self._foreign = document, None, False
            self._hashes[document.epoch] = document.hash
            self._renew.set()
            return True
        return False

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            self.poll()

    async def _keep_lease(self) -> None:
        while True:
            self._renew.clear()
            try:
                await self._renew_once()
                wait = RENEW_S
            except KeyshiftError:
                wait = 0.25
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._renew.wait(), wait)

    async def _renew_once(self) -> None:
        end = time.monotonic() + RENEW_S
        conn = await self._take(end)
        told = told_epoch(self.document.epoch if self.document else 0, self._flight)
        keys = [self._control(name) for name in ("fence", "members", f"lease:{self.member}", "illegal-ids")]
        illegal = self._illegal
        argv = [self.member, told, self._hashes[told], LEASE_MS, *self._pod, self._version, illegal, self._example[:200]]
        status, fence = await self._send(conn, "member-renew", keys, argv, end)
        self._release(conn)
        if not self._flight:
            await self.shrink()  # This one may have been out while the others were ended.
        if status == "OK":
            self._fence, self._illegal = fence.decode(), self._illegal - illegal

    # Connections: each carries one call at a time, and nothing is ever sent twice.

    async def _take(self, end: float) -> Connection:
        """A connection to the primary on which nothing is in flight. NotReady: nothing was sent."""
        while self._idle:
            conn = self._idle.pop()
            if not (conn._reader is None or conn._reader.at_eof() or conn._reader.exception()):
                return conn
            await self._drop(conn)
        user, password = self._credentials()
        conn = Connection(**self._address, username=user, password=password, retry=Retry(NoBackoff(), 0), socket_read_size=1 << 16)
        try:
            async with asyncio.timeout(max(0.0, end - time.monotonic())):
                await conn.connect()
                # Whatever ends this connection resets it: what lies unsent must not reach Redis later.
                conn._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                with suppress(refused.ResponseError):  # a proxy may refuse it
                    await conn.send_command("CLIENT", "SETNAME", f"keyshift-client:{self.member}")
                    await conn.read_response()
                await conn.send_command("INFO", "replication")
                if b"role:master" not in await conn.read_response():
                    raise NotReady("this is no primary")
        except (refused.RedisError, OSError, asyncio.TimeoutError) as error:
            await self._drop(conn)
            raise NotReady(f"no connection: {error!r}") from error
        except BaseException:
            await self._drop(conn)
            raise
        if self._fence is not None:
            self._renew.set()
        return conn

    def _release(self, conn: Connection) -> None:
        if conn.is_connected:
            self._idle.append(conn)

    async def shrink(self) -> None:
        """Ends all idle connections but one."""
        while len(self._idle) > 1:
            await self._drop(self._idle.pop(0))

    async def _drop(self, conn: Connection) -> None:
        if conn._writer is not None:
            conn._writer.transport.abort()
        with suppress(Exception):
            await conn.disconnect()

    async def _exchange(self, conn: Connection, end: float, *command: Any) -> Any:
        """One command and its reply. UnknownOutcome ends the connection; at the deadline by a reset."""
        watch = asyncio.get_running_loop().call_later(max(0.0, end - time.monotonic()), conn._writer.transport.abort)
        try:
            await conn.send_command(*command, check_health=False)
            return await conn.read_response()
        except refused.RedisError as error:
            word = WORDS.get(type(error).__name__, str(error).split(" ", 1)[0])
            if "The user executing the script can't" in str(error):
                word = "NOPERM"
            if word in BEFORE and word not in LEAVE:
                raise Refused(word, str(error)) from error
            await self._drop(conn)
            if word in BEFORE:
                raise Refused(word, str(error)) from error
            raise UnknownOutcome(f"no answer: {error!r}") from error
        except BaseException:
            await self._drop(conn)
            raise
        finally:
            watch.cancel()

    async def _send(self, conn: Connection, script: str, keys: Sequence[Any], argv: Sequence[Any], end: float) -> list[Any]:
        """Calls a script: [status, ...] of its answer."""
        token = uuid.uuid4().hex
        arguments = [len(keys), *keys, token, *argv]
        try:
            reply = await self._exchange(conn, end, "EVALSHA", self._shas[script], *arguments)
        except Refused as error:
            if error.word != "NOSCRIPT":
                raise
            reply = await self._exchange(conn, end, "EVAL", self._scripts[script], *arguments)
        if not isinstance(reply, list) or len(reply) < 2 or reply[0] != token.encode():
            await self._drop(conn)
            raise UnknownOutcome("the answer belongs to another call")
        return [reply[1].decode(), *reply[2:]]

    # Life of an operation

    async def _try(self, script: str, build: Build, spare: float, end: float) -> list[Any]:
        """One route and one script. What is in flight is counted from the route to the answer or the end of the connection."""
        while not self.ready:
            if self._closed or time.monotonic() > end:
                raise NotReady("closed" if self._closed else self.problem or "no routing, or not registered yet")
            await asyncio.sleep(0.02)
        conn = await self._take(end)
        try:
            if not self.ready or end - time.monotonic() <= spare:
                raise NotReady("too late to send it")
            document = self.document
            epoch = document.epoch if document else 0
            keys, argv = build(document)
            self.counts["tries",] += 1
            self._flight[epoch] += 1
            try:
                return await self._send(conn, script, keys, [epoch, *argv], end)
            finally:
                self._flight[epoch] -= 1
                if not self._flight[epoch]:
                    del self._flight[epoch]
                    if self.document is not document:
                        self._renew.set()
        finally:
            self._release(conn)

    async def _run(self, script: str, build: Build, *, deadline: float | None, write: bool = True, repeat: bool = False) -> list[Any]:
        """Tries until something settles it: [status, ...], or a KeyshiftError. `repeat`: a write with an operation id."""
        end = time.monotonic() + (self._deadline if deadline is None else deadline)
        doubt: UnknownOutcome | None = None
        spare = min(ANSWER_S, (end - time.monotonic()) / 10) if write else 0.0
        pause = 0.02
        while True:
            error: KeyshiftError
            try:
                answer = await self._try(script, build, spare, end)
                if answer[0] == "STALE_EPOCH":
                    self.counts["stale",] += 1
                    error = StaleEpoch(f"the fence is at {answer[1].decode()}")
                elif answer[0] == "NO_FENCE":
                    error = NotReady("Redis has lost the fence")
                elif answer[0] == "OK" or doubt is None:
                    return answer
                else:
                    raise doubt
                if self.poll():
                    continue
            except UnknownOutcome as lost:
                if write and (not repeat or lost is doubt):
                    raise
                error, doubt = lost, lost if write else None
            except NotReady as waiting:
                error = waiting
            except Refused as word:
                if not BEFORE[word.word]:
                    raise doubt or word from word
                error = word
            except KeyshiftError as mistake:
                raise doubt or mistake from mistake
            await self._pause(doubt or error, pause * random.uniform(0.5, 1), end - spare)
            pause = min(pause * 2, 0.5)

    async def _pause(self, error: KeyshiftError, seconds: float, end: float) -> None:
        if self._closed or time.monotonic() + seconds >= end:
            raise error
        await asyncio.sleep(seconds)

    def _control(self, name: str) -> str:
        return self.templates.prefix + name

    async def _on_job(self, script: str, workspace: str, job: str, argv: Callable[[Route], Sequence[Any]], *, deadline: float | None,
                      write: bool = True, operation_id: str | None = None, queue: Callable[[Route], Sequence[str]] = lambda _: (),
                      pushes: bool = False) -> list[Any]:  # fmt: skip
        """One script on one job, and what its status means: [status, ...] of OK or of 'not there', else a KeyshiftError."""
        if operation_id is not None and not 1 <= len(utf8(operation_id) or b"") <= 512:
            raise Mistake("INVALID_ARGUMENT", "an operation id has 1 to 512 bytes")
        fence = self._control("fence")
        ways: list[Route] = []

        def build(document: Document | None) -> tuple[Sequence[Any], Sequence[Any]]:
            way = Route(self.templates.legacy_key(job), self.templates.legacy_key(job), False, "L", job, False)
            if workspace:
                way = route(self.templates, document, workspace, job)
            elif not (job and script == "job-get"):
                raise InvalidId("no workspace")
            if pushes:
                produced_entry(self.templates, document, way)
            ways.append(way)
            keys = [fence, way.legacy, way.target, self._control(f"op:{operation_id}") if operation_id else fence, *queue(way)]
            return keys, [workspace, self.field, self._type, self.templates.forbidden, way.order, *argv(way)]

        status, *rest = await self._run(script, build, deadline=deadline, write=write, repeat=operation_id is not None)
        if ways[-1].illegal and status in ("OK", "EXISTS"):
            self._illegal, self._example = self._illegal + 1, job if self.templates.refused(job) else workspace
        self.counts["denied" if status == "DENIED" else "allowed", workspace] += status in ("OK", "DENIED")
        return self._settle(status, rest)

    def _settle(self, status: str, rest: Sequence[Any]) -> list[Any]:
        detail = b" ".join(item for item in rest if isinstance(item, bytes)).decode("utf-8", "replace")
        if status == "SHARED_NAME":
            raise InvalidId("the job id spells a target key of its workspace")
        if status == "NOPERM":
            raise Refused(status, detail)
        if status in FAILURES:
            raise Mistake(FAILURES[status], f"{status} {detail}")
        return [status, *rest]

    def _value(self, raw: Any) -> Any:
        parts = [text_of(part) for part in (raw if self.encoding == "hash" else [raw])]
        if None in parts:
            raise Mistake("OCCUPIED", "the value is no UTF-8")
        return dict(zip(parts[::2], parts[1::2])) if self.encoding == "hash" else parts[0]

    # Operations. `deadline` is in seconds, times to live and expiries in ms.

    async def create(self, workspace: str, job: str, value: Any, *, ttl_ms: int | None = None, expires_at: int | None = None,
                     queue: str | None = None, operation_id: str | None = None, deadline: float | None = None) -> None:  # fmt: skip
        """Makes a job that does not exist, and its queue entry in the same step. Mistake JOB_EXISTS where it does."""
        flat = [value]
        if self.encoding == "hash":
            value = {self.field: workspace, **value}
            if value[self.field] != workspace:
                raise Mistake("WORKSPACE_MISMATCH", "the value names another workspace")
            flat = [part for item in value.items() for part in item]
        mode = ("ttl", ttl_ms) if ttl_ms is not None else ("at", expires_at) if expires_at is not None else ("none", 0)
        fence = self._control("fence")
        names = [queue, self._control(f"queued:{queue}"), self._control("depth")] if queue else [fence] * 3
        status, *_ = await self._on_job(
            "job-create", workspace, job, lambda way: ["1" if way.create_target else "0", *mode, way.entry if queue else "", KEEP_MS, *flat],
            operation_id=operation_id, deadline=deadline, queue=lambda _: names, pushes=queue is not None)  # fmt: skip
        if status != "OK":
            raise Mistake("JOB_EXISTS", status)

    async def get(self, workspace: str, job: str, *, deadline: float | None = None) -> Job | None:
        names = [self._control("backfilled"), self._control("fallback-reads")]
        status, *rest = await self._on_job("job-get", workspace, job, lambda _: (), write=False, deadline=deadline, queue=lambda _: names)
        self.counts["served", rest[0].decode() if status == "OK" else "none"] += 1
        return Job(job, self._value(rest[3]), None if int(rest[2]) < 0 else int(rest[2])) if status == "OK" else None

    async def update(self, workspace: str, job: str, fields: Mapping[str, str], *, expect: Mapping[str, str | None] | None = None,
                     operation_id: str | None = None, deadline: float | None = None) -> bool:  # fmt: skip
        """hash: sets fields, where `expect` holds (None: absent; else Mistake CONFLICT). False: not there."""
        argv: list[Any] = [KEEP_MS, len(expect or {})]
        for field, value in (expect or {}).items():
            argv += [field, "0" if value is None else "1", value or ""]
        argv += [part for item in fields.items() for part in item]
        answer = await self._on_job("job-update", workspace, job, lambda _: argv, operation_id=operation_id, deadline=deadline)
        return answer[0] == "OK"

    async def update_text(self, workspace: str, job: str, change: Callable[[str], str], *, operation_id: str | None = None,
                          deadline: float | None = None, attempts: int = 10) -> bool:  # fmt: skip
        """json: writes what `change` makes of the stored text, if that is still the same by then. False: not there."""
        end = time.monotonic() + (self._deadline if deadline is None else deadline)
        while True:
            found = await self.get(workspace, job, deadline=end - time.monotonic())
            if found is None:
                return False
            argv = [KEEP_MS, found.value, change(found.value)]
            try:
                answer = await self._on_job("job-update-text", workspace, job, lambda _: argv, operation_id=operation_id,
                                            deadline=end - time.monotonic())  # fmt: skip
                return answer[0] == "OK"
            except Mistake as error:
                attempts -= 1
                if error.code != "CONFLICT" or attempts == 0:
                    raise

    async def mutate(self, workspace: str, job: str, commands: Sequence[Sequence[str]], *, operation_id: str | None = None,
                     deadline: float | None = None) -> list[str] | None:  # fmt: skip
        """hash: HSET HDEL HINCRBY HINCRBYFLOAT, at most 1,000, all or none; their results. None: not there."""
        if not 1 <= len(commands) <= 1000:
            raise Mistake("INVALID_ARGUMENT", "1 to 1,000 commands")
        argv = [KEEP_MS, *(part for name, *rest in commands for part in (name, len(rest), *rest))]
        status, *rest = await self._on_job("job-mutate", workspace, job, lambda _: argv, operation_id=operation_id, deadline=deadline)
        return [item.decode() if isinstance(item, bytes) else str(item) for item in rest[1:]] if status == "OK" else None

    async def expire(self, workspace: str, job: str, *, ttl_ms: int | None = None, expires_at: int | None = None,
                     operation_id: str | None = None, deadline: float | None = None) -> bool:  # fmt: skip
        """Gives the job an expiry, or takes it away where neither is given. False: not there."""
        mode = ("ttl", ttl_ms) if ttl_ms is not None else ("at", expires_at) if expires_at is not None else ("none", 0)
        answer = await self._on_job("job-expire", workspace, job, lambda _: [KEEP_MS, *mode], operation_id=operation_id, deadline=deadline)
        return answer[0] == "OK"

    async def delete(self, workspace: str, job: str, *, operation_id: str | None = None, deadline: float | None = None) -> bool:
        answer = await self._on_job("job-delete", workspace, job, lambda _: [KEEP_MS], operation_id=operation_id, deadline=deadline)
        return answer[0] == "OK"

    async def push(self, workspace: str, job: str, queue: str, *, operation_id: str | None = None, deadline: float | None = None) -> bool:
        """Another entry of a job that exists. False: not there."""
        names = [queue, self._control(f"queued:{queue}"), self._control("depth")]
        answer = await self._on_job("queue-push", workspace, job, lambda way: [KEEP_MS, way.entry], operation_id=operation_id,
                                    deadline=deadline, queue=lambda _: names, pushes=True)  # fmt: skip
        return answer[0] == "OK"

    async def list(self, workspace: str, *, page: int = 100, deadline: float | None = None) -> AsyncIterator[Job]:
        """Every job of the workspace once. A cursor is good on one connection only: when that is lost, begins again."""
        seen: set[str] = set()
        end = time.monotonic() + (self._deadline if deadline is None else deadline)
        conn: Connection | None = None
        try:
            cursor: Any = None
            while cursor != b"0":
                if conn is None or not conn.is_connected:
                    conn, cursor = await self._take(end), b"0"
                try:
                    cursor, names = await self._exchange(conn, end, "SCAN", cursor or 0, "MATCH", self.templates.scan_pattern, "COUNT", page)
                except UnknownOutcome:
                    if time.monotonic() >= end:
                        raise
                    continue
                for job in await self.page(workspace, names, end - time.monotonic()):
                    if job.job_id not in seen:
                        seen.add(job.job_id)
                        yield job
        finally:
            if conn is not None:
                self._release(conn)

    async def page(self, workspace: str, names: Sequence[bytes], deadline: float | None = None) -> list[Job]:
        """The jobs of the workspace among names that SCAN gave."""
        pairs: list[tuple[str, str, str]] = []

        def build(document: Document | None) -> tuple[Sequence[Any], Sequence[Any]]:
            pairs[:] = list_pairs(self.templates, document, workspace, names)
            order = "LT" if document and document.phase >= 2 else "L"
            keys = [self._control("fence"), *(key for _, legacy, target in pairs for key in (legacy, target))]
            return keys, [workspace, self.field, self._type, order]

        _, *rest = await self._run("job-list-page", build, deadline=deadline, write=False)
        found = zip(rest[::3], rest[1::3], rest[2::3])
        return [Job(pairs[int(i) - 1][0], self._value(raw), None if int(at) < 0 else int(at)) for i, at, raw in found]

    # Queues

    async def dequeue(self, queue: str, *, wait: float = 0, lease_ms: int = 60000, deadline: float | None = None) -> Delivery | None:
        """The oldest entry, held for `lease_ms`; at least once. None: nothing came within `wait` seconds."""
        until, pause = time.monotonic() + wait, 0.02
        while True:
            if time.monotonic() - self._reaped.get(queue, -1e9) >= min(lease_ms / 2000, 10):
                self._reaped[queue] = time.monotonic()
                await self.reap(queue, lease_ms=lease_ms, deadline=deadline)
            keys = [self._control("fence"), queue, self._control(f"processing:{queue}"), self._control(f"leases:{queue}")]
            status, *rest = self._settle(*_split(await self._run("queue-move", lambda _: (keys, [lease_ms]), deadline=deadline)))
            if status == "EMPTY":
                if time.monotonic() + pause > until:
                    return None
                await asyncio.sleep(pause * random.uniform(0.5, 1))
                pause = min(pause * 2, 0.5)
                continue
            held = Delivery(self, queue, rest[0], rest[1], None, "")
            status, *rest = await held._on_entry("queue-resolve", [], deadline)
            self.counts["removed", status.lower()] += status in ("GONE", "MALFORMED")
            if status == "OK":
                held.workspace, held.job_id = rest[0].decode() or None, rest[1].decode()
                return held

    async def reap(self, queue: str, *, lease_ms: int = 60000, deadline: float | None = None) -> int:
        """Puts entries back whose lease has ended; how many."""
        keys = [self._control("fence"), self._control(f"processing:{queue}"), self._control(f"leases:{queue}")]
        _, *rest = self._settle(*_split(await self._run("queue-expired", lambda _: (keys, [lease_ms, 100]), deadline=deadline)))
        back = 0
        for entry, lease_end in zip(rest[::2], rest[1::2]):
            status, *_ = await Delivery(self, queue, entry, lease_end, None, "")._on_entry("queue-return", ["reap"], deadline)
            back += status == "OK"
        return back


def _split(answer: list[Any]) -> tuple[str, list[Any]]:
    return answer[0], answer[1:]


@dataclass
class Delivery:
    """An entry of a queue that this consumer holds. Every method fails with Mistake LEASE_LOST where someone else may have it."""

    client: Client
    queue: str
    entry: bytes
    lease_end: bytes
    workspace: str | None  # None: epochs 0 and 1 deliver jobs without one
    job_id: str

    async def read(self, *, deadline: float | None = None) -> Job | None:
        return await self.client.get(self.workspace or "", self.job_id, deadline=deadline)

    async def ack(self, *, deadline: float | None = None) -> None:
        """The work is done."""
        await self._held("queue-ack", ["processing", "leases", "queued", None], [self.entry, self.lease_end], deadline)

    async def extend(self, lease_ms: int, *, deadline: float | None = None) -> None:
        """Holds it for `lease_ms` from now."""
        answer = await self._held("queue-extend", ["leases"], [self.entry, self.lease_end, lease_ms], deadline)
        self.lease_end = answer[1]

    async def nack(self, *, deadline: float | None = None) -> None:
        """Back to the end of the queue."""
        if (await self._on_entry("queue-return", ["nack"], deadline))[0] == "LEASE_LOST":
            raise Mistake("LEASE_LOST", "the entry may be someone else's by now")

    async def _held(self, script: str, names: Sequence[str | None], argv: Sequence[Any], deadline: float | None) -> list[Any]:
        control = self.client._control
        keys = [control("fence"), *(control(f"{name}:{self.queue}") if name else control("depth") for name in names)]
        return self.client._settle(*_split(await self.client._run(script, lambda _: (keys, argv), deadline=deadline)))

    async def _on_entry(self, script: str, more: Sequence[Any], deadline: float | None) -> list[Any]:
        """queue-resolve, or queue-return with what to do: [status, ...], LEASE_LOST too."""
        client, control = self.client, self.client._control

        def build(document: Document | None) -> tuple[Sequence[Any], Sequence[Any]]:
            own, (order, phase, *spelled) = entry_arguments(client.templates, document, self.entry)
            named = [control(f"{name}:{self.queue}") for name in ("processing", "leases", "queued")]
            keys = [control("fence"), self.queue, *named, control("depth"), control(f"dead:{self.queue}"), *(key or control("fence") for key in own)]
            head = [client.field, client.templates.forbidden, order, phase, self.entry, self.lease_end, *spelled]
            return keys, [*head, *more, *([client.templates.forbidden] if more else [])]

        answer = await client._run(script, build, deadline=deadline)
        return answer if answer[0] == "LEASE_LOST" else client._settle(*_split(answer))
