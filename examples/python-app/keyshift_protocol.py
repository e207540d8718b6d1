"""The pure half of the wire contract (docs/protocol.md): templates, ids, buckets, documents, routes, queue entries. No I/O."""
from __future__ import annotations

import hashlib
import json
import os.path
import re
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, Iterable, NamedTuple

PHASES = ("Legacy", "DualWrite", "ReadRouting", "BackfillVerify")
LONGEST_ID = 512  # UTF-8 bytes
RESERVED = "keyshift:"
PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class KeyshiftError(Exception):
    """What every operation fails with. `code` is stable; `again`: nothing was done, and a later try may work."""

    def __init__(self, code: str, why: str, again: bool = False) -> None:
        super().__init__(f"{code}: {why}")
        self.code, self.again = code, again


def utf8(text: str) -> bytes | None:
    """The bytes of a text, or None where it is no well-formed Unicode (a lone surrogate)."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


def text_of(raw: bytes) -> str:
    """A name or an entry; where it is no UTF-8, a text that is not well-formed, which no id may be."""
    return raw.decode(errors="surrogateescape")


class Templates:
    """A legacy and a target template that fit each other (else ValueError), and what follows from them."""

    def __init__(self, legacy: str, target: str) -> None:
        self.legacy, self.target = legacy, target
        parts = [PLACEHOLDER.split(template) for template in (legacy, target)]  # text, placeholder, text, ...
        for count, (template, part) in enumerate(zip((legacy, target), parts), 1):
            head, names = part[0], part[1::2]
            if not utf8(template) or "\0" in template or any("{" in text for text in part[::2]):
                raise ValueError(f"{template!r} is not well-formed, has a NUL, or a brace that opens no placeholder")
            if head == "" or RESERVED.startswith(head) or head.startswith(RESERVED):
                raise ValueError(f"{template!r} must begin with fixed text other than {RESERVED!r}")
            if len(names) != count or names.count("job_id") != 1:
                raise ValueError(f"{template!r} must have {{job_id}} once, and {count - 1} other placeholders")
        (head, _, tail), (start, first, self.delimiter, second, end) = parts
        if re.match(r"[A-Za-z0-9]|\Z", self.delimiter):
            raise ValueError(f"{target!r} needs a delimiter that begins with neither letter nor digit")
        heads_apart = not head.startswith(start) and not start.startswith(head)
        tails_apart = not tail.endswith(end) and not end.endswith(tail)
        if not (heads_apart or tails_apart or start.startswith(head) and end.endswith(tail)):
            raise ValueError(f"{legacy!r} and {target!r} are ambiguous: one key could be read as both")
        self.forbidden, self.workspace_first = self.delimiter[0], second == "job_id"
        self.workspace_placeholder = first if self.workspace_first else second
        digest = hashlib.sha256(f"{legacy}\0{target}".encode()).hexdigest()
        self.prefix = f"{RESERVED}{digest[:16]}:"
        self.scan_pattern = re.sub(r"([*?\[\]\\^])", r"\\\1", os.path.commonprefix([head, start])) + "*"
        self._reads_legacy, self._reads_target = map(_reader, parts)

    def refused(self, any_id: str) -> str | None:
        """Why no key can be made of this id from phase 1 on, or None."""
        raw = utf8(any_id)
        if not raw:
            return "empty or not well-formed"
        if self.forbidden in any_id:
            return f"has the character {self.forbidden!r}"
        return "too long" if len(raw) > LONGEST_ID else None

    def legacy_key(self, job: str) -> str:
        return PLACEHOLDER.sub(lambda _: job, self.legacy)

    def target_key(self, workspace: str, job: str) -> str:
        return PLACEHOLDER.sub(lambda found: job if found[1] == "job_id" else workspace, self.target)

    def within_legacy(self, name: str) -> str:
        """What stands between the fixed texts of legacy, be it a good id or not; empty: nothing, or they are not there."""
        found = self._reads_legacy.fullmatch(name)
        return found["job_id"] if found else ""

    def read_name(self, name: str) -> tuple[str, str | None, str | None]:
        """('target', workspace, job), ('legacy', None, job) or ('other', None, None)."""
        found = self._reads_target.fullmatch(name)
        if found and not any(map(self.refused, found.groups())):
            return "target", found[self.workspace_placeholder], found["job_id"]
        job = self.within_legacy(name)
        return ("other", None, None) if self.refused(job) else ("legacy", None, job)


def _reader(parts: list[str]) -> re.Pattern[str]:
    """Reads a key back: each placeholder is what comes before the first of the text that follows it."""
    return re.compile("".join(f"(?P<{part}>.*?)" if i % 2 else re.escape(part) for i, part in enumerate(parts)), re.DOTALL)


templates_of = lru_cache(maxsize=16)(Templates)


def bucket(name: str, any_id: str) -> int:
    return int(hashlib.sha1(f"{name}:{any_id}".encode()).hexdigest()[:8], 16) % 10000


def selected(name: str, any_id: str, percent: int) -> bool:
    return bucket(name, any_id) < percent * 100


# A routing document that may be followed: its fields by their names, `phase` as its number, and `templates`.
Document = SimpleNamespace
UNMANAGED = Document(epoch=0, hash="", phase=0, targets=False)


def _whole(low: int, high: int) -> Any:
    return lambda value: type(value) is int and low <= value <= high


def _filled(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


FIELDS = {"epoch": _whole(1, 2**53 - 1), "hash": _filled, "name": _filled, "phase": PHASES.__contains__, "step": _whole(0, 1000),
          "createTarget": _whole(0, 100), "readTarget": _whole(0, 100), "canaryBy": ("Job", "Workspace").__contains__,
          "legacy": _filled, "target": _filled, "workspaceField": _filled, "controlPrefix": _filled, "targets": _flag, "final": _flag,
          "queues": lambda value: isinstance(value, list) and all(map(_filled, value))}  # fmt: skip


def _number(text: str) -> int:
    value = float(text)
    if not (value.is_integer() and abs(value) < 2**53):
        raise ValueError(f"{text} is not whole, or beyond 2^53 - 1")
    return int(value)


def _sorted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(sorted(dict(pairs).items(), key=lambda pair: pair[0].encode("utf-16-be", "surrogatepass")))  # UTF-16 units


def parse_document(text: str) -> Document:
    """The document in a text; ValueError says why it must not be followed."""
    try:
        raw = json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_number, object_pairs_hook=_sorted)
        covered = {key: raw[key] for key in raw if key != "hash"} if isinstance(raw, dict) else {}
        digest = hashlib.sha256(json.dumps(covered, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()[:16]
    except RecursionError:
        raise ValueError("nested too deep") from None
    for name, fits in FIELDS.items():
        if not isinstance(raw, dict) or name not in raw or not fits(raw[name]):
            raise ValueError(f"{name} is missing, of another type or out of range")
    templates = templates_of(raw["legacy"], raw["target"])
    if raw["controlPrefix"] != templates.prefix or raw["hash"] != digest:
        raise ValueError("controlPrefix or hash does not fit")
    return Document(**{**raw, "phase": PHASES.index(raw["phase"]), "templates": templates})


class Route(NamedTuple):
    """Keys and order of one try; `target` is `legacy` where there is none. `illegal`: ids that only Legacy serves."""

    legacy: str
    target: str
    create_target: bool = False
    order: str = "L"
    entry: str = ""
    illegal: bool = False


def judged(templates: Templates, document: Document, *ids: str) -> str | None:
    """Why ids are served in Legacy alone, or None. KeyshiftError INVALID_ID where this document does not serve them."""
    why = next(filter(None, map(templates.refused, ids)), None)
    if why and (document.phase != 0 or not all(map(utf8, ids))):
        raise KeyshiftError("INVALID_ID", f"{[one[:100] for one in ids]}: {why}")
    return why


def route(templates: Templates, document: Document, workspace: str, job: str, pushes: bool = False) -> Route:
    """By pure calculation, anew for each try. KeyshiftError INVALID_ID; `pushes`: the entry must be readable as well."""
    why = judged(templates, document, workspace, job)
    legacy = templates.legacy_key(job)
    if why or document.epoch == 0:
        shared = document.epoch > 0 and templates.read_name(legacy)[:2] == ("target", workspace)
        if shared and document.targets:
            raise KeyshiftError("INVALID_ID", f"job {job!r} spells a target key of its workspace")
        way = Route(legacy, legacy, False, "L!" if shared else "L", job, why is not None)
    else:
        canary = workspace if document.canaryBy == "Workspace" else job
        create = selected(document.name, canary, document.createTarget)
        order, entry = "L" if document.targets else "L?", job
        if document.phase >= 2:
            order = "TL" if selected(document.name, canary, document.readTarget) else "LT"
            entry = f"{workspace}{templates.forbidden}{job}"
        way = Route(legacy, templates.target_key(workspace, job), create, order, entry)
    if pushes and document.phase == 0 and document.targets and read_entry(templates, document, way.entry.encode())[0] == "pair":
        raise KeyshiftError("INVALID_ID", f"entry {way.entry!r} reads as a pair")
    return way


def read_entry(templates: Templates, document: Document, entry: bytes) -> tuple[str, str, str]:
    """Form, workspace and job of an entry as the scripts take them."""
    first, found, second = text_of(entry).partition(templates.forbidden)
    if templates.refused(first) or found and templates.refused(second):
        return "malformed", "", ""
    early = document.phase == 0 and not document.targets
    return ("id or pair" if early else "pair", first, second) if found else ("job", "", first)


def entry_arguments(templates: Templates, document: Document, entry: bytes) -> tuple[list[str | None], list[Any]]:
    """KEYS 8-10 (None: the fence) and (ARGV 5 and 6, ARGV 9-11) of queue-resolve and queue-return."""
    form, workspace, job = read_entry(templates, document, entry)
    text, early = text_of(entry), document.phase <= 1
    legacy = target = templates.legacy_key(job) if job else None
    order = "L" if early else "LT"
    if workspace:
        target = templates.target_key(workspace, job)
        order = route(templates, document, workspace, job).order.rstrip("?")
    whole = templates.legacy_key(text) if early and form != "job" and utf8(text) else None
    return [legacy, target, whole], [order, document.phase, form, workspace, job]


def list_pairs(templates: Templates, document: Document, workspace: str, names: Iterable[bytes]) -> list[tuple[str, str, str]]:
    """(job, legacy key, target key or the legacy key again) of the names of a SCAN page that may be jobs of the workspace."""
    pairs = []
    for name in filter(utf8, map(text_of, names)):
        kind, owner, job = templates.read_name(name)
        if kind == "target" and document.targets and owner == workspace:
            pairs.append((str(job), templates.legacy_key(str(job)), name))
        elif kind == "legacy" or document.phase == 0 and templates.within_legacy(name):
            pairs.append((templates.within_legacy(name), name, name))
    return pairs


def told_epoch(following: int, in_flight: Iterable[int]) -> int:
    """What the lease tells: no operation begun under an older epoch is in flight."""
    return min([following, *in_flight])
