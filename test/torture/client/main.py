"""The client process of a torture that is examples/python-app: see wire.ts for what goes in and out, session.ts for what it does."""
from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Awaitable, Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "examples" / "python-app"))
from keyshift_client import Client, Job, KeyshiftError  # noqa: E402

SETTINGS = json.loads(os.environ["KEYSHIFT_TORTURE"])
WORKSPACES = ("w0", "w1", "w2")
QUEUES = {"hash": "ai:queue:hash", "json": "ai:queue:json"}
WEIGHTS = {"get": 36, "create": 14, "brief": 5, "update": 12, "cas": 9, "mutate": 7, "delete": 7, "expire": 2, "persist": 2, "enqueue": 6}
DEADLINE, SHORT_DEADLINE, LEASE_MS = 2.5, 0.04, 1500


def say(*line: Any) -> None:
    """Written before it returns: what is said of an operation must be out before the operation is, whatever kills this process."""
    left = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    while left:
        try:
            left = left[os.write(1, left) :]
        except BlockingIOError:
            time.sleep(0.001)


def now() -> float:
    return time.monotonic_ns() / 1e6 + SETTINGS["clockMs"]


def drawn_for(*parts: Any) -> random.Random:
    return random.Random(" ".join(map(str, (SETTINGS["seed"], *parts))))


def home_of(job: str) -> str:
    return WORKSPACES[sum(map(ord, job)) % len(WORKSPACES)]


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def state_text(job: Job | None) -> str:
    """A job as a history has it."""
    if job is None:
        return "absent"
    fields = json.loads(job.value) if isinstance(job.value, str) else job.value
    value = job.value if isinstance(job.value, str) else dict(sorted(job.value.items()))
    expiry = "for ever" if job.expires_at is None else f"until {job.expires_at}"
    return f"{fields['workspace_id']} {as_json(value)} {expiry}"


class Recorder:
    """Runs operations and tells of each before it is sent and after it was answered."""

    def __init__(self) -> None:
        self._last = 0

    async def run(self, job: str, action: dict[str, Any], send: Callable[[int], Awaitable[str]], enqueues: bool = False) -> str | None:
        """The answer, or None where it is unknown or nothing was done."""
        self._last += 1
        number = self._last
        say("call", number, job, now(), action)
        if enqueues:
            say("enqueue", number)
        try:
            answer = await send(number)
        except KeyshiftError as error:
            if error.code == "UNKNOWN_OUTCOME":
                return say("unknown", number)
            if error.code in ("NOT_READY", "REFUSED", "STALE_EPOCH") or "EXPIRY" in str(error):  # It waited until its expiry had passed.
                return say("refused", number, error.code)
            if error.code not in ("JOB_EXISTS", "CONFLICT"):
                return self._wrong(number, action)
            answer = "exists" if error.code == "JOB_EXISTS" else "conflict"
        except Exception:
            return self._wrong(number, action)
        say("done", number, now(), answer)
        return answer

    def _wrong(self, number: int, action: dict[str, Any]) -> None:
        say("unknown", number)
        say("wrong", f"{action['kind']}: {traceback.format_exc()}")


class Session:
    """One caller, one operation after another, on jobs that others work on as well."""

    def __init__(self, client: Client, tag: str, recorder: Recorder, drawn: random.Random) -> None:
        self._client, self._tag, self._recorder, self._drawn = client, tag, recorder, drawn
        self._seen: dict[str, str] = {}
        self._written = 0

    async def step(self, jobs: list[str]) -> None:
        drawn, client = self._drawn, self._client
        kind = drawn.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        job = jobs[int(drawn.random() ** 1.5 * len(jobs))]  # Some are busier than others.
        stranger, other, life = drawn.random() < 0.08, drawn.choice(WORKSPACES), 300 + drawn.random() * 2500
        short, repeatable = drawn.random() < 0.01, drawn.random() < 0.2
        if kind == "enqueue":
            job, stranger = f"{client.encoding[0]}q-{self._tag}-{self._written}", False
        workspace = other if stranger else home_of(job)
        deadline: dict[str, Any] = {"deadline": SHORT_DEADLINE if short else DEADLINE}

        def more(number: int) -> dict[str, Any]:
            return {**deadline, "operation_id": f"{self._tag}-{number}"} if repeatable else deadline

        run = self._recorder.run
        expires_at = round(now() + life)
        if kind in ("create", "brief", "enqueue"):
            value, at = self._value(workspace), expires_at if kind == "brief" else None
            action: dict[str, Any] = {"kind": "create", "workspace": workspace, "value": value, "expiresAt": at}
            queue = QUEUES[client.encoding] if kind == "enqueue" else None

            async def create(number: int) -> str:
                await client.create(workspace, job, value, expires_at=at, queue=queue, **more(number))
                return "ok"

            await run(job, action, create, enqueues=queue is not None)
        elif kind == "get":

            async def get(_: int) -> str:
                found = await client.get(workspace, job, **deadline)
                if found is not None and client.encoding == "hash" and "a" in found.value:
                    self._seen[job] = found.value["a"]
                return state_text(found)

            await run(job, {"kind": "get", "workspace": workspace}, get)
        elif kind in ("expire", "persist"):
            at = None if kind == "persist" else expires_at
            action = {"kind": "expire", "workspace": workspace, "expiresAt": at}
            await run(job, action, lambda n: told(client.expire(workspace, job, expires_at=at, **more(n))))
        elif kind == "delete":
            await run(job, {"kind": "delete", "workspace": workspace}, lambda n: told(client.delete(workspace, job, **more(n))))
        elif client.encoding == "json":

            def change(old: str, number: int) -> str:
                text = self._value(workspace)
                say("swap", number, old, text)
                return str(text)

            await run(job, {"kind": "replace", "workspace": workspace}, lambda n: told(
                client.update_text(workspace, job, lambda old: change(old, n), attempts=3, **more(n))))  # fmt: skip
        elif kind == "mutate":
            commands: list[list[Any]] = [["HSET", "b", self._next()], ["HINCRBY", "n", 1]]

            async def mutate(number: int) -> str:
                results = await client.mutate(workspace, job, commands, **more(number))
                return "absent" if results is None else as_json(results)

            await run(job, {"kind": "mutate", "workspace": workspace, "commands": commands}, mutate)
        else:
            tag = self._next()
            fields = {"a": tag} if kind == "cas" else {"a": tag, "b": tag}
            action = {"kind": "update", "workspace": workspace, "set": fields}
            if kind == "cas":
                action["expect"] = {"a": self._seen.get(job, "never")}
            answer = await run(job, action, lambda n: told(
                client.update(workspace, job, fields, expect=action.get("expect"), **more(n))))  # fmt: skip
            if answer == "ok":
                self._seen[job] = tag

    def _next(self) -> str:
        self._written += 1
        return f"{self._tag}-{self._written}"

    def _value(self, workspace: str) -> dict[str, str] | str:
        tag = self._next()
        if self._client.encoding == "hash":
            return {"workspace_id": workspace, "a": tag, "b": tag, "n": "0"}
        return f'{{"workspace_id":"{workspace}", "a":"{tag}", "big": 12345678901234567890}}'


async def told(done: Awaitable[bool]) -> str:
    return "ok" if await done else "absent"


async def consume(client: Client, recorder: Recorder, drawn: random.Random) -> None:
    """Takes an entry, reads its job, and acknowledges most; some go back, some are held until their lease ends."""
    fate = drawn.random()
    try:
        held = await client.dequeue(QUEUES[client.encoding], wait=0.02, lease_ms=LEASE_MS, deadline=2)
        if held is None:
            return
        say("delivered", held.job_id, held.workspace)
        if held.workspace is not None:

            async def read(_: int) -> str:
                return state_text(await held.read(deadline=2))

            await recorder.run(held.job_id, {"kind": "get", "workspace": held.workspace}, read)
        if fate < 0.1:
            return
        if fate < 0.2:
            return await held.nack(deadline=2)
        say("ack", held.job_id)
        await held.ack(deadline=2)
        say("acked", held.job_id)
    except KeyshiftError as error:
        if error.code not in ("UNKNOWN_OUTCOME", "NOT_READY", "REFUSED", "STALE_EPOCH", "LEASE_LOST"):
            say("wrong", f"queue: {traceback.format_exc()}")


class Round:
    def __init__(self, number: int, jobs: list[str], clients: list[Client], recorder: Recorder) -> None:
        self._resting = False
        work = []
        for client in clients:
            own = [job for job in jobs if job.startswith("h") == (client.encoding == "hash")]
            for i in range(SETTINGS["sessions"]):
                tag = f"{SETTINGS['slot']}.{SETTINGS['incarnation']}.{number}.{i}"
                drawn = drawn_for("session", client.encoding, tag)
                session = Session(client, tag, recorder, drawn)
                work.append(self._repeat(drawn, lambda session=session, own=own: session.step(own)))
            drawn = drawn_for("consumer", client.encoding, SETTINGS["slot"], SETTINGS["incarnation"], number)
            work.append(self._repeat(drawn, lambda client=client, drawn=drawn: consume(client, recorder, drawn)))
        self._tasks = [asyncio.create_task(caller) for caller in work]

    async def _repeat(self, drawn: random.Random, step: Callable[[], Awaitable[None]]) -> None:
        while not self._resting:
            await step()
            await asyncio.sleep(drawn.random() * 2 * SETTINGS["pauseMs"] / 1000)

    async def rest(self) -> None:
        self._resting = True
        await asyncio.gather(*self._tasks)


def place_of(url: str) -> tuple[Any, Any]:
    """Host and port, or the name of the primary and its Sentinels."""
    scheme, _, rest = url.partition("://")
    addresses, _, name = rest.partition("/0")
    pairs = [(host, int(port)) for host, port in (address.split(":") for address in addresses.split(","))]
    return pairs[0] if scheme == "redis" else (name.removeprefix("#"), pairs)


async def main() -> None:
    asyncio.get_running_loop().set_exception_handler(lambda _, context: say("wrong", f"loop: {context}"))
    place = place_of(SETTINGS["redis"])
    clients = []
    for encoding in QUEUES:
        pod = (SETTINGS["podUid"], f"{SETTINGS['podName']}-{encoding}")
        clients.append(Client("ai:job:{job_id}", "ai:job:{workspace_id}:{job_id}", "workspace_id", encoding, *place,
                              Path(SETTINGS["routingDir"]), pod=pod))  # fmt: skip
    recorder, current = Recorder(), None
    await asyncio.gather(*(client.start() for client in clients))
    while not all(client.ready for client in clients):
        await asyncio.sleep(0.01)
    say("ready")
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        command = json.loads(line)
        if command["type"] == "go":
            current = Round(command["round"], command["jobs"], clients, recorder)
            continue
        if current is not None:
            await current.rest()
        for client in clients:
            await client.shrink()
        if command["type"] == "rest":
            say("resting", command["round"])
    await asyncio.gather(*(client.close() for client in clients))


try:
    asyncio.run(main())
except Exception:
    say("wrong", traceback.format_exc())
    raise
