"""Plays docs/protocol-vectors.json against this client and a real Redis, which it empties: check_vectors.py HOST PORT [FILE]."""
from __future__ import annotations

import asyncio
import base64
import json
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, Callable, Iterator

import redis

from keyshift_client import SCRIPTS, Client, KeyshiftError
from keyshift_protocol import UNMANAGED, bucket, parse_document, route, selected, told_epoch, templates_of

Vector = dict[str, Any]
BUCKET_PERCENTS = (0, 1, 10, 50, 100)


def text(value: Any) -> str:
    """An id, which may be no well-formed text."""
    if isinstance(value, str):
        return value
    return b"".join(unit.to_bytes(2, "little") for unit in value["utf16"]).decode("utf-16-le", "surrogatepass")


def raw(value: Any) -> bytes:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else str(value).encode()


def same(expected: Any, actual: Any, since: int, until: int) -> bool:
    """Whether an answer or a stored value is the expected one; `since` and `until` bound the TIME at which it was made."""
    if isinstance(expected, dict) and "now" in expected:
        return since + expected["now"] <= int(actual) <= until + expected["now"]
    if isinstance(expected, dict) and "json" in expected:
        return same_json(expected["json"], json.loads(actual), since, until)
    if isinstance(expected, list):
        return isinstance(actual, list) and len(expected) == len(actual) and all(same(e, a, since, until) for e, a in zip(expected, actual))
    return actual == expected if isinstance(expected, int) else actual == raw(expected)


def same_json(expected: Any, actual: Any, since: int, until: int) -> bool:
    if isinstance(expected, dict) and expected.keys() == {"now"}:
        return same(expected, actual, since, until)
    if isinstance(expected, dict):
        return expected.keys() == actual.keys() and all(same_json(expected[key], actual[key], since, until) for key in expected)
    return bool(expected == actual)


class OneTry(Client):
    """A client that tries once, and keeps the calls it makes."""

    def __init__(self, *args: Any, clock: Callable[[], int], **more: Any) -> None:
        super().__init__(*args, **more)
        self.calls: list[tuple[str, list[bytes], list[bytes], list[Any], int, int]] = []
        self._clock = clock

    async def _pause(self, error: KeyshiftError, seconds: float, end: float) -> None:
        raise error

    async def _send(self, line: Any, script: str, keys: Any, argv: Any, end: float) -> list[Any]:
        since = self._clock()
        answer = await super()._send(line, script, keys, argv, end)
        told = [answer[0].encode(), *answer[1:]]
        self.calls.append((script, [wire(key) for key in keys], [b"token", *map(wire, argv)], told, since, self._clock()))
        return answer


def wire(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


class Player:
    def __init__(self, host: str, port: int, vectors: dict[str, list[Vector]], folder: Path) -> None:
        self.host, self.port, self.vectors, self.folder = host, port, vectors, folder
        self.redis = redis.Redis(host, port)
        self.documents = {item["name"]: item["text"] for item in vectors["documents"]}
        self.first = parse_document(vectors["documents"][0]["text"])

    def now(self) -> int:
        seconds, micros = self.redis.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def client(self, document: str | None, encoding: str) -> OneTry:
        at = parse_document(self.documents[document]) if document else self.first
        return OneTry(at.templates.legacy, at.templates.target, at.workspaceField, encoding, self.host, self.port, self.folder, clock=self.now)

    def store(self, before: list[Vector]) -> None:
        self.redis.flushall()
        for item in before:
            key, value = raw(item["key"]), item["value"]
            if item["type"] == "hash":
                for field, content in value:
                    self.redis.hset(key, raw(field), raw(content))
            elif item["type"] == "list":
                self.redis.rpush(key, *map(raw, value))
            elif item["type"] == "zset":
                self.redis.zadd(key, {raw(member): self.moment(score) for member, score in value})
            elif item["type"] == "set":
                self.redis.sadd(key, *map(raw, value))
            else:
                self.redis.set(key, json.dumps(value["json"]) if isinstance(value, dict) and "json" in value else raw(value))
            if "expiresAt" in item:
                self.redis.pexpireat(key, int(self.moment(item["expiresAt"])))

    def moment(self, value: Any) -> float:
        return self.now() + value["now"] if isinstance(value, dict) else float(value)

    def check_after(self, after: list[Vector], since: int) -> None:
        until = self.now()
        keys = sorted(self.redis.keys())
        expect(keys == sorted(raw(item["key"]) for item in after), f"keys are {keys}")
        for item in after:
            key = raw(item["key"])
            kind = self.redis.type(key).decode()
            stored: Any
            if kind == "hash":
                stored = [list(pair) for pair in sorted(self.redis.hgetall(key).items())]
            elif kind == "list":
                stored = self.redis.lrange(key, 0, -1)
            elif kind == "zset":
                stored = [[member, b"%d" % score] for member, score in self.redis.zrange(key, 0, -1, withscores=True)]
            else:
                stored = self.redis.get(key) if kind == "string" else None
            wanted = sorted(item["value"], key=lambda pair: raw(pair[0])) if kind == "hash" else item["value"]
            expect(kind == item["type"] and same(wanted, stored, since, until), f"{key!r} holds {stored!r}")
            expires = self.redis.pexpiretime(key)
            expect(same(item.get("expiresAt", -1), expires, since, until), f"{key!r} expires at {expires}")

    # One method a list of vectors; each raises where the vector does not hold.

    def templates(self, it: Vector) -> None:
        t = templates_of(it["legacy"], it["target"])
        told = [t.prefix, t.delimiter, t.forbidden, t.workspace_placeholder, t.workspace_first, t.scan_pattern]
        names = ["controlPrefix", "delimiter", "forbidden", "workspacePlaceholder", "workspaceFirst", "scanPattern"]
        expect(told == [it[name] for name in names], told)

    def templatesRefused(self, it: Vector) -> None:
        refuses(ValueError, lambda: templates_of(it["legacy"], it["target"]))

    def ids(self, it: Vector) -> None:
        why = templates_of(it["legacy"], it["target"]).refused(text(it["id"]))
        expect((why is None) == (it["refused"] is None), why)

    def keys(self, it: Vector) -> None:
        t = templates_of(it["legacy"], it["target"])
        told = [t.legacy_key(text(it["jobId"])), t.target_key(text(it["workspaceId"]), text(it["jobId"]))]
        expect(told == [it["legacyKey"], it["targetKey"]], told)

    def names(self, it: Vector) -> None:
        told = templates_of(it["legacy"], it["target"]).read_name(it["key"])
        expect(told == (it["kind"], it.get("workspaceId"), it.get("jobId")), told)

    def buckets(self, it: Vector) -> None:
        told = bucket(it["name"], it["id"]), [p for p in BUCKET_PERCENTS if selected(it["name"], it["id"], p)]
        expect(told == (it["bucket"], it["selectedAt"]), told)

    def documents_(self, it: Vector) -> None:
        parse_document(it["text"])

    def documentsAccepted(self, it: Vector) -> None:
        document = parse_document(it["text"])
        expect((document.epoch, document.hash) == (it["epoch"], it["hash"]), document)

    def documentsRefused(self, it: Vector) -> None:
        refuses(ValueError, lambda: parse_document(it["text"]))

    def following(self, it: Vector) -> None:
        client, file = self.client(None, "hash"), self.folder / "routing.json"
        for step in it["steps"]:
            file.unlink(missing_ok=True)
            if step["file"] is not None:
                file.write_text(step["file"], "utf-8")
            asyncio.run(client.poll())
            told = client.document.epoch, client.problem != ""
            expect(told == (step["epoch"], step["problem"]), (step["file"], told, client.problem))

    def draining(self, it: Vector) -> None:
        told = told_epoch(it["following"], it["inFlight"])
        expect(told == it["tells"], told)

    def routing(self, it: Vector) -> None:
        document = parse_document(self.documents[it["document"]]) if it["document"] else UNMANAGED
        t = document.templates if it["document"] else self.first.templates
        try:
            way = route(t, document, text(it["workspaceId"]), text(it["jobId"]))
        except KeyshiftError as error:
            return expect(error.code == it.get("error"), error)
        told = {"legacyKey": way.legacy, "targetKey": way.target, "createTarget": way.create_target, "order": way.order,
                "entry": way.entry, "countedAsIllegal": way.illegal}  # fmt: skip
        return expect(told == {name: it.get(name) for name in told}, told)

    def scripts(self, it: Vector) -> None:
        self.store(it["before"])
        since, given = self.now(), list[Any]()
        for call in it["calls"]:
            source = (SCRIPTS / f"{call['script']}.lua").read_bytes()
            argv = [given[-1] if isinstance(item, dict) and "now" in item else raw(item) for item in call["argv"]]
            start = self.now()
            token, *answer = self.redis.eval(source, len(call["keys"]), *map(raw, call["keys"]), *argv)
            expect(token == b"token" and same(call["answer"], answer, start, self.now()), (call["script"], answer))
            given += [item for item in answer if isinstance(item, bytes) and item.isdigit() and len(item) == 13]
        self.check_after(it["after"], since)

    def operations(self, it: Vector) -> None:
        asyncio.run(self._operation(it))

    async def _operation(self, it: Vector) -> None:
        self.store(it["before"])
        (self.folder / "routing.json").unlink(missing_ok=True)
        if it["document"]:
            (self.folder / "routing.json").write_text(self.documents[it["document"]], "utf-8")
        client = self.client(it["document"], it["encoding"])
        await client.poll()
        client._fence = ""  # As a renewal would leave it: registration is a script vector of its own.
        since, result, failed = self.now(), None, None
        try:
            result = await perform(client, it["operation"])
        except KeyshiftError as error:
            failed = error
        finally:
            await client.shrink()
        expect((failed.code if failed else None) == it.get("error"), failed)
        expect(result == it.get("result"), result)
        quiet = it["operation"]["name"] == "dequeue"
        calls = [call for call in client.calls if not (quiet and call[0] == "queue-expired" and call[3] == [b"OK"])]
        if "countedBefore" in it:
            script, keys, argv, answer, *_ = calls.pop(0)
            told = (script, argv[8:], answer[0])
            expect(told == ("member-renew", [b"1", raw(it["countedBefore"])], b"OK"), told)
            self.redis.delete(*keys[1:])
        expect([call[0] for call in calls] == [call["script"] for call in it["calls"]], calls)
        given: set[bytes] = set()
        for wanted, (script, keys, argv, answer, start, end) in zip(it["calls"], calls):
            expect(keys == [raw(key) for key in wanted["keys"]], (script, keys))
            for number, (e, a) in enumerate(zip(wanted["argv"], argv, strict=True)):
                made = isinstance(e, dict) and "now" in e
                expect(a in given if made else a == raw(e), (script, f"ARGV {number + 1}", a))
            expect(same(wanted["answer"], answer, start, end), (script, answer))
            given |= {item for item in answer if isinstance(item, bytes)}
        self.check_after(it["after"], since)


async def perform(client: Client, it: Vector) -> Any:
    """Runs the operation of a vector and tells its result in the words of the vectors."""
    name, queue, lease = it["name"], it.get("queue"), it.get("leaseMs")
    more = {"operation_id": it["operationId"]} if "operationId" in it else {}
    expiry = {name: it[key] for name, key in (("ttl_ms", "ttlMs"), ("expires_at", "expiresAt")) if key in it}
    if name == "dequeue":
        held = await client.dequeue(queue, lease_ms=lease)
        if held is None:
            return None
        told = {"workspaceId": held.workspace, "jobId": held.job_id}
        match it.get("then"):
            case "read":
                told["read"] = job_of(await held.read())
            case "ack":
                await held.ack()
            case "nack":
                await held.nack()
            case "extend":
                await held.extend(lease)
        return told
    if name == "reap":
        return await client.reap(queue, lease_ms=lease)
    if name == "list":
        return [job_of(job) for job in await client.page(it["workspaceId"], [raw(item) for item in it["scanned"]])]
    workspace, job = text(it["workspaceId"]), text(it["jobId"])
    match name:
        case "create":
            return await client.create(workspace, job, it["value"], queue=queue, **expiry, **more)
        case "get":
            return job_of(await client.get(workspace, job))
        case "update" if "text" in it:
            return await client.update_text(workspace, job, lambda _: it["text"], attempts=1, **more)
        case "update":
            return await client.update(workspace, job, it["fields"], expect=it.get("expect"), **more)
        case "mutate":
            return await client.mutate(workspace, job, it["commands"], **more)
        case "expire":
            return await client.expire(workspace, job, **expiry, **more)
        case "delete":
            return await client.delete(workspace, job, **more)
        case "push":
            return await client.push(workspace, job, queue, **more)
    raise AssertionError(f"unknown operation {name}")


def job_of(job: Any) -> Any:
    if job is None:
        return None
    told = {"jobId": job.job_id, "value": job.value}
    return told if job.expires_at is None else {**told, "expiresAt": job.expires_at}


def expect(holds: bool, told: Any) -> None:
    if not holds:
        raise AssertionError(f"got {str(told)[:1500]}")


def refuses(kind: type[Exception], act: Callable[[], Any]) -> None:
    try:
        act()
    except kind:
        return
    raise AssertionError("was not refused")


def play(player: Player) -> Iterator[tuple[str, int, int]]:
    """For each list: its name, how many vectors hold and how many do not."""
    for name, vectors in player.vectors.items():
        if not isinstance(vectors, list):
            continue
        check = getattr(player, "documents_" if name == "documents" else name, None)
        failed = 0
        for vector in vectors:
            try:
                expect(check is not None, f"a list that is not known: {name}")
                check(vector)
            except Exception as error:
                failed += 1
                where = "" if isinstance(error, AssertionError) else traceback.format_exc()
                print(f"FAILED {name}: {json.dumps(vector)[:1500]}\n  {error}\n{where}", file=sys.stderr)
        yield name, len(vectors) - failed, failed


def main() -> int:
    host, port, *more = sys.argv[1:]
    file = Path(more[0]) if more else SCRIPTS.parent / "protocol-vectors.json"
    vectors = json.loads(file.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        results = list(play(Player(host, int(port), vectors, Path(folder))))
    passed, failed = sum(item[1] for item in results), sum(item[2] for item in results)
    print(json.dumps({"passed": passed, "failed": failed, "lists": {name: good for name, good, _ in results}}))
    return 1 if failed or vectors["format"] != 1 else 0


if __name__ == "__main__":
    sys.exit(main())
