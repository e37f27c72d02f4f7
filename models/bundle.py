"""One version of everything that is needed to parse, score and decide for one source, as named files of bytes.

Owns the manifest, its hashes and what makes a bundle refusable. Does not know where bundles lie (``models/bundles.py``)
nor how they are made (``training``).
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from models.autolog.judge import FrameJudge
from models.errors import BundleError, TemplateError
from models.judge import Judge
from models.rate.judge import RateJudge
from models.registry import RATE, TIMEFRAME, load_judge
from models.sessions import SessionSettings
from models.source.config import Source
from models.template.tree import TemplateTree

FORMAT = 1
"""Of the manifest and the files that it names. A newer one is refused: this Tocsin cannot know what it means."""

MANIFEST = "manifest.json"
TEMPLATES = "templates.json"
CARD = "CARD.md"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says of itself.

    ``detectors`` holds each member's settings; ``provenance`` what it was trained on; ``metrics`` what was measured on
    held-out normals; ``created`` seconds since the epoch; ``files`` sha256 of every other file; times in seconds.
    """

    source: dict[str, Any]
    version: str
    created: float
    parent: str | None
    tree_id: str
    tree_version: int
    session: SessionSettings
    detectors: dict[str, dict[str, Any]]
    ensemble: dict[str, Any]
    provenance: dict[str, Any]
    metrics: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    def to_json(self) -> bytes:
        """Canonical JSON with a digest of itself, so that a change by hand is noticed."""
        body = asdict(self)
        return orjson.dumps({**body, "digest": _digest(body)}, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, data: bytes) -> "Manifest":
        """Read back what ``to_json`` wrote. Raises BundleError on another format, a changed or a damaged manifest."""
        try:
            body = orjson.loads(data)
            digest = body.pop("digest")
            version = int(body["format"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"{MANIFEST} is damaged ({error}); restore the bundle or train it again") from error
        if version > FORMAT:
            raise BundleError(
                f"{MANIFEST} has format {version}, this Tocsin reads up to {FORMAT}; upgrade Tocsin to use this bundle"
            )
        if digest != _digest(body):
            raise BundleError(f"{MANIFEST} was changed after the bundle was made; restore the bundle or train it again")
        strange = sorted(set(body) ^ set(cls.__dataclass_fields__))
        if strange or not isinstance(body["files"], dict):
            raise BundleError(
                f"{MANIFEST} lacks or adds fields ({', '.join(strange) or 'files'}); train the source again"
            )
        try:
            return cls(**{**body, "session": SessionSettings.from_dict(body["session"])})
        except TypeError as error:
            raise BundleError(f"{MANIFEST} has no proper session rule ({error}); train the source again") from error


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle: the manifest and every file that it names, by name."""

    manifest: Manifest
    files: Mapping[str, bytes]

    @classmethod
    def seal(cls, manifest: Manifest, files: Mapping[str, bytes]) -> "Bundle":
        """A new bundle: hashes of ``files`` are written into the manifest."""
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
        fields = {name: getattr(manifest, name) for name in Manifest.__dataclass_fields__}
        return cls(Manifest(**{**fields, "files": hashes}), dict(files))

    @classmethod
    def open(cls, files: Mapping[str, bytes]) -> "Bundle":
        """Verify files as read from a store. Raises BundleError saying which file is missing, foreign or changed."""
        if MANIFEST not in files:
            raise BundleError(f"no {MANIFEST}: this is not a bundle")
        manifest = Manifest.from_json(files[MANIFEST])
        for name, expected in manifest.files.items():
            if name not in files:
                raise BundleError(f"{name} is missing from the bundle; copy it again")
            if hashlib.sha256(files[name]).hexdigest() != expected:
                raise BundleError(
                    f"{name} differs from its sha256 in {MANIFEST}: tampered with or damaged; copy it again"
                )
        return cls(manifest, {name: files[name] for name in manifest.files})

    @property
    def source(self) -> Source:
        """The source configuration that this bundle was trained with."""
        return Source.from_dict(self.manifest.source)

    @property
    def version(self) -> str:
        """Version within the source."""
        return self.manifest.version

    def tree(self) -> TemplateTree:
        """A new tree in the state in which training left it. Raises BundleError where it is none."""
        try:
            return TemplateTree.restore(orjson.loads(self.files[TEMPLATES]))
        except (KeyError, AttributeError, orjson.JSONDecodeError, TemplateError) as error:
            raise BundleError(f"{TEMPLATES} holds no template tree ({error}); train the source again") from error

    def judge(self, provider: str = "cpu", threads: int = 1, exemplar_of: Callable[[int], str] | None = None) -> Judge:
        """Detectors and ensemble, ready to score on ``provider`` (``auto``, ``cuda`` or ``cpu``); ``exemplar_of``
        gives those of the templates that it will be asked about (None: those of the bundle's own tree alone)."""
        if exemplar_of is None:
            tree = self.tree()

            def exemplar_of(template_id: int) -> str:
                return tree.template(template_id).exemplar

        judge = load_judge(self.manifest.detectors, self.files, provider, threads, exemplar_of)
        for member in judge.events:
            if member.window > self.manifest.session.width:
                raise BundleError(
                    f"{member.name} needs {member.window} keys of history, but sessions keep "
                    f"{self.manifest.session.width}; train the bundle again"
                )
        return judge

    def frame_judge(self, provider: str = "cpu", threads: int = 1) -> FrameJudge | None:
        """What judges timeframes; None where the bundle has nothing that does."""
        settings = self.manifest.detectors.get(TIMEFRAME)
        return None if settings is None else FrameJudge.load(settings, self.files, provider, threads)

    def rate_judge(self) -> RateJudge | None:
        """What judges how many lines come; None where the bundle has nothing that does."""
        return RateJudge.load(self.files) if RATE in self.manifest.detectors else None


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()
