"""Enqueues a job, works on it, and goes on to the next until SIGTERM, whatever the routing does. Prints JSON lines."""
from __future__ import annotations

import asyncio
import json
import os
import signal
import uuid
from pathlib import Path

from keyshift_client import Client, KeyshiftError

QUEUE, WORKSPACES = "ai:queue", ("w1", "w2", "w3")


def say(event: str, client: Client, **more: object) -> None:
    print(json.dumps({"event": event, "epoch": client.document.epoch, "ready": client.ready, **more}), flush=True)


async def one_job(client: Client, workspace: str) -> None:
    """Each write has an id of its own: a restart of Redis is waited out, and nothing is done twice."""
    job, op = str(uuid.uuid4()), str(uuid.uuid4())
    await client.create(workspace, job, {"status": "new"}, queue=QUEUE, ttl_ms=86_400_000, operation_id=f"{op}-create")
    held = await client.dequeue(QUEUE, wait=1)
    if held is None or held.workspace is None:
        return
    await client.update(held.workspace, held.job_id, {"status": "done"}, operation_id=f"{op}-done")
    found = await held.read()
    await held.ack()
    say("done", client, workspace=held.workspace, job=held.job_id, status=found.value["status"] if found else None)


async def main() -> None:
    env = os.environ
    client = Client(
        "ai:job:{job_id}", "ai:job:{workspace_id}:{job_id}", "workspace_id", "hash",
        env.get("REDIS_HOST", "127.0.0.1"), int(env.get("REDIS_PORT", "6379")), Path(env.get("KEYSHIFT_ROUTING", "/etc/keyshift/routing")),
        credentials=lambda: (env.get("REDIS_USERNAME"), env.get("REDIS_PASSWORD")),
        pod=(env.get("POD_UID", ""), env.get("POD_NAME", "")),
    )  # fmt: skip
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    await client.start()
    say("started", client, member=client.member)
    number = 0
    while not stop.is_set():
        try:
            await one_job(client, WORKSPACES[number % len(WORKSPACES)])
        except KeyshiftError as error:
            # Where it is unknown: the job is there or not; its entry comes back if it is.
            say("unknown" if error.code == "UNKNOWN_OUTCOME" else "failed", client, code=error.code, why=str(error))
        number += 1
        await asyncio.sleep(0.1)
    await client.close()
    say("closed", client)


if __name__ == "__main__":
    asyncio.run(main())
