"""The pure half of the wire contract (docs/protocol.md): templates, ids, buckets, documents, routes, queue entries. No I/O."""
from __future__ import annotations

import hashlib
import json
import os.path
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Iterable

PHASES = ("Legacy", "DualWrite", "ReadRouting", "BackfillVerify")
LONGEST_ID = 512  # UTF-8 bytes
RESERVED = "keyshift:"
PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class KeyshiftError(Exception):
    """What every operation fails with; `code` is stable."""

    code = "KEYSHIFT"


class InvalidId(KeyshiftError):
    """A mistake of the caller, nothing was sent: an id that no key can be made of."""

    code = "INVALID_ID"


def utf8(text: str) -> bytes | None:
    """The bytes of a text, or None where it is no well-formed Unicode (a lone surrogate)."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


def text_of(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _parse(template: str) -> tuple[list[str], list[str]]:
    """Placeholders of a template and the fixed texts around them (one more)."""
    if "\0" in template or utf8(template) is None:
        raise ValueError(f"template {template!r} must be well-formed and without NUL")
    parts = PLACEHOLDER.split(template)
    names, texts = parts[1::2], parts[0::2]
    if any("{" in text for text in texts):
        raise ValueError(f"template {template!r} has a brace that opens no placeholder")
    if texts[0] == "" or RESERVED.startswith(texts[0]) or texts[0].startswith(RESERVED):
        raise ValueError(f"template {template!r} must begin with fixed text other than {RESERVED!r}")
    return names, texts


class Templates:
    """A legacy and a target template that fit each other (else ValueError), and what follows from them."""

    def __init__(self, legacy: str, target: str) -> None:
        names, (self._l0, self._l1) = self._expect(_parse(legacy), 1, legacy)
        names, (self._t0, self.delimiter, self._t1) = self._expect(_parse(target), 2, target)
        self.legacy, self.target = legacy, target
        self.workspace_first = names[1] == "job_id"
        self.workspace_placeholder = names[0] if self.workspace_first else names[1]
        if self.delimiter == "" or re.match("[A-Za-z0-9]", self.delimiter):
            raise ValueError(f"{target!r} needs a delimiter that begins with neither letter nor digit")
        self.forbidden = self.delimiter[0]
        heads_apart = not self._l0.startswith(self._t0) and not self._t0.startswith(self._l0)
        tails_apart = not self._l1.endswith(self._t1) and not self._t1.endswith(self._l1)
        inside = self._t0.startswith(self._l0) and self._t1.endswith(self._l1)
        if not (heads_apart or tails_apart or inside):
            raise ValueError(f"{legacy!r} and {target!r} are ambiguous: one key could be read as both")
        digest = hashlib.sha256(f"{legacy}\0{target}".encode()).hexdigest()
        self.prefix = f"{RESERVED}{digest[:16]}:"
        self.scan_pattern = re.sub(r"([*?\[\]\\^])", r"\\\1", os.path.commonprefix([self._l0, self._t0])) + "*"

    @staticmethod
    def _expect(parsed: tuple[list[str], list[str]], count: int, template: str) -> tuple[list[str], list[str]]:
        names, texts = parsed
        if len(names) != count or names.count("job_id") != 1:
            raise ValueError(f"{template!r} must have {{job_id}} once, and {count - 1} other placeholders")
        return names, texts

    def refused(self, any_id: str) -> str | None:
        """Why no key can be made of this id from phase 1 on, or None."""
        raw = utf8(any_id)
        if raw is None or raw == b"":
            return "empty or not well-formed"
        if self.forbidden in any_id:
            return f"has the character {self.forbidden!r}"
        return "too long" if len(raw) > LONGEST_ID else None

    def legacy_key(self, job: str) -> str:
        return f"{self._l0}{job}{self._l1}"

    def target_key(self, workspace: str, job: str) -> str:
        first, second = (workspace, job) if self.workspace_first else (job, workspace)
        return f"{self._t0}{first}{self.delimiter}{second}{self._t1}"

    def between_legacy(self, name: str) -> str | None:
        """What stands between the fixed texts of legacy, be it a good id or not."""
        return _between(name, self._l0, self._l1)

    def read_name(self, name: str) -> tuple[str, str | None, str | None]:
        """('target', workspace, job), ('legacy', None, job) or ('other', None, None)."""
        first, found, second = (_between(name, self._t0, self._t1) or "").partition(self.delimiter)
        if found and self.refused(first) is None and self.refused(second) is None:
            return ("target", first, second) if self.workspace_first else ("target", second, first)
        job = self.between_legacy(name)
        return ("legacy", None, job) if job is not None and self.refused(job) is None else ("other", None, None)


def _between(name: str, head: str, tail: str) -> str | None:
    fits = len(name) >= len(head) + len(tail) and name.startswith(head) and name.endswith(tail)
    return name[len(head) : len(name) - len(tail)] if fits else None


templates_of = lru_cache(maxsize=16)(Templates)


def bucket(name: str, any_id: str) -> int:
    return int(hashlib.sha1(f"{name}:{any_id}".encode()).hexdigest()[:8], 16) % 10000


def selected(name: str, any_id: str, percent: int) -> bool:
    return bucket(name, any_id) < percent * 100


@dataclass(frozen=True)
class Document:
    """A routing document that may be followed."""

    epoch: int
    hash: str
    name: str
    phase: int
    create_target: int
    read_target: int
    by_workspace: bool
    templates: Templates
    workspace_field: str
    targets: bool


def canonical(value: Any) -> str:
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))  # UTF-16 units
        return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() else value


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def parse_document(text: str) -> Document:
    """The document in a text; ValueError says why it must not be followed."""
    try:
        raw = json.loads(text, parse_float=_number, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(raw, dict):
        raise ValueError("no JSON object")

    def field(key: str, fits: Any) -> Any:
        if key not in raw or not fits(raw[key]):
            raise ValueError(f"{key} is missing, of another type or out of range")
        return raw[key]

    def whole(low: int, high: int) -> Any:
        return lambda value: type(value) is int and low <= value <= high

    def filled(value: Any) -> bool:
        return isinstance(value, str) and value != ""

    field("step", whole(0, 1000))
    field("queues", lambda value: isinstance(value, list) and all(map(filled, value)))
    field("final", lambda value: isinstance(value, bool))
    document = Document(
        epoch=field("epoch", whole(1, 2**53 - 1)),
        hash=field("hash", filled),
        name=field("name", filled),
        phase=PHASES.index(field("phase", lambda value: value in PHASES)),
        create_target=field("createTarget", whole(0, 100)),
        read_target=field("readTarget", whole(0, 100)),
        by_workspace=field("canaryBy", lambda value: value in ("Job", "Workspace")) == "Workspace",
        templates=templates_of(field("legacy", filled), field("target", filled)),
        workspace_field=field("workspaceField", filled),
        targets=field("targets", lambda value: isinstance(value, bool)),
    )
    if field("controlPrefix", filled) != document.templates.prefix:
        raise ValueError("controlPrefix does not fit the templates")
    covered = canonical({key: value for key, value in raw.items() if key != "hash"})
    if hashlib.sha256(covered.encode()).hexdigest()[:16] != document.hash:
        raise ValueError("hash does not fit")
    return document


@dataclass(frozen=True)
class Route:
    """Keys and order of one try; `target` is `legacy` where there is none. `illegal`: ids that only Legacy serves."""

    legacy: str
    target: str
    create_target: bool
    order: str
    entry: str
    illegal: bool


def route(templates: Templates, document: Document | None, workspace: str, job: str) -> Route:
    """By pure calculation, anew for each try. Raises InvalidId."""
    phase = document.phase if document else 0
    why = templates.refused(workspace) or templates.refused(job)
    if why and (phase != 0 or not utf8(workspace) or not utf8(job)):
        raise InvalidId(f"workspace {workspace[:100]!r} or job {job[:100]!r}: {why}")
    legacy = templates.legacy_key(job)
    if why or document is None:
        order = "L"
        if document and templates.read_name(legacy)[:2] == ("target", workspace):
            if document.targets:
                raise InvalidId(f"job {job!r} spells a target key of its workspace")
            order = "L!"
        return Route(legacy, legacy, False, order, job, why is not None)
    canary = workspace if document.by_workspace else job
    order = "L"
    if phase >= 2:
        order = "TL" if selected(document.name, canary, document.read_target) else "LT"
    create = selected(document.name, canary, document.create_target)
    entry = f"{workspace}{templates.forbidden}{job}" if phase >= 2 else job
    order = order if document.targets else "L?"
    return Route(legacy, templates.target_key(workspace, job), create, order, entry, False)


def produced_entry(templates: Templates, document: Document | None, way: Route) -> str:
    """What a producer writes; InvalidId where consumers would take it for the entry of another job."""
    if document and document.phase == 0 and document.targets and read_entry(templates, document, way.entry.encode())[0] == "pair":
        raise InvalidId(f"entry {way.entry!r} reads as a pair")
    return way.entry


def read_entry(templates: Templates, document: Document | None, entry: bytes) -> tuple[str, str, str]:
    """Form, workspace and job of an entry as the scripts take them."""
    text = text_of(entry)
    first, found, second = (text or "").partition(templates.forbidden)
    if not found:
        return ("job", "", first) if text and templates.refused(first) is None else ("malformed", "", "")
    if templates.refused(first) is not None or templates.refused(second) is not None:
        return "malformed", "", ""
    early = document is None or (document.phase == 0 and not document.targets)
    return "id or pair" if early else "pair", first, second


def entry_arguments(templates: Templates, document: Document | None, entry: bytes) -> tuple[list[str | None], list[Any]]:
    """KEYS 8-10 (None: the fence) and (ARGV 5 and 6, ARGV 9-11) of queue-resolve and queue-return."""
    form, workspace, job = read_entry(templates, document, entry)
    phase = document.phase if document else 0
    legacy = templates.legacy_key(job) if form != "malformed" else None
    target, order = legacy, "L" if phase <= 1 else "LT"
    if workspace:
        target = templates.target_key(workspace, job)
        order = route(templates, document, workspace, job).order[:2].rstrip("?!")
    text = text_of(entry)
    whole = templates.legacy_key(text) if phase <= 1 and form != "job" and text else None
    return [legacy, target, whole], [order, phase, form, workspace, job]


def list_pairs(templates: Templates, document: Document | None, workspace: str, names: Iterable[bytes]) -> list[tuple[str, str, str]]:
    """(job, legacy key, target key or the legacy key again) of the names of a SCAN page that may be jobs of the workspace."""
    pairs = []
    for raw in names:
        name = text_of(raw)
        if name is None:
            continue
        kind, owner, job = templates.read_name(name)
        if kind == "legacy" and job is not None:
            pairs.append((job, name, name))
        elif kind == "target" and job is not None and document and document.targets and owner == workspace:
            pairs.append((job, templates.legacy_key(job), name))
        elif kind == "target" and document and document.targets and document.phase != 0:
            continue
        elif document is None or document.phase == 0:
            between = templates.between_legacy(name)
            if between:
                pairs.append((between, name, name))
    return pairs


def told_epoch(following: int, in_flight: Iterable[int]) -> int:
    """What the lease tells: no operation begun under an older epoch is in flight."""
    return min([following, *in_flight])
