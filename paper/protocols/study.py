"""What happened to the published counts: the same networks, counted in each plausible way.

A count of negative eigenvalues that is not proved depends on how it is computed: the precision, the
images, the route to the matrix, the solver, the threshold. Here many such ways, `PROTOCOLS`, look
at the same networks, and their counts stand beside the published ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

from morsescape.boundary import a_count, a_path, a_seed, checked, choices, named, option
from morsescape.data import NAMES as DATA
from morsescape.data import Dataset, load
from morsescape.errors import ArgumentError
from morsescape.experiments.citation import published
from morsescape.experiments.point import AT, PointSettings
from morsescape.experiments.sweep.run import run_tasks
from morsescape.experiments.sweep.schedulers import Here, Scheduler
from morsescape.experiments.sweep.task import Task
from morsescape.model.network import Network
from morsescape.nets import NAMES as NETS
from morsescape.nets import Training, TrainingStatus, build, train
from morsescape.progress import Progress, stage
from morsescape.spectrum.index_bound import structure_of
from morsescape.store import Piece, RunFolder
from paper.protocols.counts import count_at
from paper.protocols.kinds import PROTOCOLS, Protocol, Variant
from paper.protocols.table import (
    DISTANCE,
    WITHIN,
    ProtocolCounts,
    ProtocolTable,
    Setting,
)

_SHOWN = ("nets", "data", "seed", "runs", "samples")  # not the root: the same from any folder


@checked(
    option,
    nets=named("--net", choices(NETS, least=1)), data=choices(DATA, least=1), seed=a_seed(),
    runs=a_count(1), samples=a_count(1), root=a_path(),
)  # fmt: skip
@dataclass(frozen=True)
class ProtocolsSettings:
    """Which networks to count on, and how often.

    Attributes:
        nets, data: names; each network is counted on each data set, trained and as drawn.
        seed: run k uses seed + k.
        runs: networks in each setting.
        samples: take the first so many images; None takes all.
        root: folder of the data; it does not change the results.
        protocols: the ways to count.

    Raises:
        ArgumentError: an unknown name, no runs, a negative seed, protocols of one name.

    Example:
        >>> settings = ProtocolsSettings(nets=("cnn",))
        >>> [str(setting) for setting in settings.settings]
        ['cnn, digits, trained', 'cnn, digits, random']
    """

    nets: tuple[str, ...] = NETS
    data: tuple[str, ...] = ("digits",)
    seed: int = 0
    runs: int = 1
    samples: int | None = None
    root: str | None = None
    protocols: tuple[Protocol, ...] = PROTOCOLS

    def __post_init__(self) -> None:
        names = [protocol.name for protocol in self.protocols]
        if not names or len(set(names)) < len(names):
            raise ArgumentError(
                "protocols", expected="at least one, each with a name of its own",
                got=", ".join(names) or "none", cure="rename those of one name",
            )  # fmt: skip

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The settings in the order of the paper's tables."""
        return tuple(Setting(n, d, at) for n in self.nets for d in self.data for at in AT)

    @property
    def seeds(self) -> range:
        """The seeds of the runs."""
        return range(self.seed, self.seed + self.runs)

    @property
    def variants(self) -> tuple[Variant, ...]:
        """What the networks are trained with, for all protocols."""
        return tuple(dict.fromkeys(protocol.variant for protocol in self.protocols))

    def identity(self) -> dict[str, Any]:
        """What a piece depends on besides its key: the settings of its `RunFolder`."""
        import morsescape

        return {
            "experiment": "protocols",
            "samples": self.samples,
            "protocols": [asdict(protocol) for protocol in self.protocols],
            "morsescape": morsescape.__version__,
        }


@dataclass(frozen=True, eq=False)
class ProtocolsResult:
    """The counts of every protocol, as far as they are there.

    Attributes:
        settings: what was asked for.
        table: the counts beside the published numbers.
        complete: whether every piece is there.
        accuracy: of the trained networks, mean over the runs, by setting and by what they were
            trained with.
        remarks: a sentence for each training that did not end as it should.
        made_with: the versions of Python and torch that counted.

    Example:
        >>> few = ProtocolsSettings(("cnn",), samples=50, protocols=(Protocol("plain"),))
        >>> tasks = protocol_tasks(few)[1:]  # as drawn: no training
        >>> pieces = run_tasks(tasks, scheduler=Here())
        >>> result = assemble_protocols(few, pieces)
        >>> result.complete, [str(setting) for setting in result.table.settings]
        (False, ['cnn, digits, random'])
        >>> result.table.conclusion
        'Nothing is concluded: no number is published for these settings. On one ...'
    """

    settings: ProtocolsSettings
    table: ProtocolTable
    complete: bool
    accuracy: Mapping[tuple[Setting, Variant], float]
    remarks: tuple[str, ...]
    made_with: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The counts, the distances and the conclusion, as JSON values."""
        table, closest = self.table, self.table.closest
        nearest = {net: table.closest_for(net) for net in table.nets}
        return {
            "settings": {name: getattr(self.settings, name) for name in _SHOWN},
            "complete": self.complete,
            "definitions": {"distance": DISTANCE, "within": WITHIN},
            "published": {s.key: [p.mean, p.sd] for s, p in table.published.items()},
            "structural_upper_bound": {s.key: bound for s, bound in table.bounds.items()},
            "protocols": [row.to_json() for row in table.rows],
            "closest": closest and closest.protocol.name,
            "closest_by_net": {net: row and row.protocol.name for net, row in nearest.items()},
            "accuracy": {f"{s.key}-{variant}": x for (s, variant), x in self.accuracy.items()},
            "conclusion": table.conclusion,
            "remarks": list(self.remarks),
        }


def protocol_tasks(settings: ProtocolsSettings) -> list[Task]:
    """One task for each network: it is trained once, and counted by all protocols of its variant.

    Example:
        >>> [task.key for task in protocol_tasks(ProtocolsSettings(("cnn",)))][:2]
        ['cnn-digits-trained-plain-seed-0', 'cnn-digits-trained-standardised-seed-0']
    """
    return [
        Task(
            f"{setting.key}-{variant}-seed-{seed}", protocol_run, (settings, setting, variant, seed)
        )
        for seed in settings.seeds
        for setting in settings.settings
        for variant in settings.variants
    ]


def protocol_run(
    settings: ProtocolsSettings,
    setting: Setting,
    variant: Variant,
    seed: int,
    *,
    progress: Progress | None = None,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """One network counted by the protocols of its variant, a function of its arguments alone.

    Args:
        settings: its samples, root and protocols matter here.
        setting: network, data set, point.
        variant: what the network is trained with, and looked at with.
        seed: of the initialisation, of the order of the samples and of the mini-batch.
        progress: called as progress("training" or "counts", done, total).

    Returns:
        JSON values, and the tensors θ (D,) and the eigenvalues of each spectrum.
    """
    start = time.perf_counter()
    dataset = variant.dataset(load(setting.data, settings.root, samples=settings.samples))
    model, training = _network(setting, variant, dataset, seed, progress)
    trained = time.perf_counter()
    few = dataset.first(min(len(dataset), 64))
    net = Network(model, "cross_entropy", (few.x, few.y), torch.float64)
    step = stage(progress, "counts")
    mine = [protocol for protocol in settings.protocols if protocol.variant == variant]
    counts = count_at(model, dataset, seed, mine, step)
    payload = {
        **setting._asdict(),
        **asdict(variant),
        "seed": seed,
        "n_params": net.dim,
        "n_samples": len(dataset),
        "structural_upper_bound": structure_of(net).upper_bound,
        "loss": training and training.loss,
        "accuracy": training and training.accuracy,
        "training": training and training.status.value,
        "training_done": training is None or training.status is TrainingStatus.DONE,
        "counts": counts.negative,
        "rows": counts.rows,
        "missing": counts.missing,
        "seconds": {"train": trained - start, "count": time.perf_counter() - trained},
    }
    return payload, {"theta": net.theta, **counts.eigenvalues}


def _network(
    setting: Setting, variant: Variant, dataset: Dataset, seed: int, progress: Progress | None
) -> tuple[nn.Sequential, Training | None]:
    """The network that `make_point` makes, trained as the variant has it."""
    shape, classes = dataset.image_shape, dataset.classes
    model = variant.model(build(setting.net, image_shape=shape, classes=classes, seed=seed))
    if setting.at == "random":
        return model.eval(), None
    step = stage(progress, "training")
    training = train(model, dataset, seed=seed, progress=step)
    if training.status is TrainingStatus.DIVERGED:
        raise ArgumentError(
            "data", expected="a training whose loss stays finite",
            got=f"loss {training.loss} for {setting}, {variant}, seed {seed}", cure="another seed",
        )  # fmt: skip
    return model.eval(), training


def run_protocols(
    settings: ProtocolsSettings,
    folder: RunFolder | None = None,
    progress: Progress | None = None,
    *,
    scheduler: Scheduler | None = None,
    notice: Callable[[str], None] | None = None,
) -> ProtocolsResult:
    """Count by every protocol; each finished network is in `folder` before the next starts.

    Args:
        settings: what to count.
        folder: keeps the pieces, `RunFolder(path, settings.identity())`.
        progress: called as progress(stage, done, total), stages "runs", "training", "counts".
        scheduler: who does it; `Here()` if None.
        notice: called with a sentence if the sweep is resumed.

    Raises:
        ArgumentError, DataError: data that cannot be used; a full disk.
    """
    tasks = protocol_tasks(settings)
    pieces = run_tasks(
        tasks, folder, scheduler=scheduler or Here(), progress=progress, notice=notice
    )
    return assemble_protocols(settings, pieces)


def assemble_protocols(settings: ProtocolsSettings, pieces: Mapping[str, Piece]) -> ProtocolsResult:
    """The result of the pieces that are there, by the keys of `protocol_tasks`."""
    tasks = protocol_tasks(settings)
    payloads = [pieces[task.key].payload for task in tasks if task.key in pieces]
    there = {_setting(payload) for payload in payloads}
    own = tuple(setting for setting in settings.settings if setting in there)
    papers = {setting: published(_point(setting, settings.samples)) for setting in own}
    paper = {setting: number for setting, number in papers.items() if number is not None}
    rows = tuple(_row(protocol, payloads, paper) for protocol in settings.protocols)
    sizes = {_setting(payload): payload["n_params"] for payload in payloads}
    table = ProtocolTable(rows, own, paper, _bounds(payloads), sizes, settings.runs)
    remarks, complete = tuple(_remarks(payloads)), len(payloads) == len(tasks)
    made = (" ".join(f"{k} {v}" for k, v in p.made_with.items()) for p in pieces.values())
    versions = tuple(sorted(filter(None, set(made))))
    return ProtocolsResult(settings, table, complete, _accuracy(payloads), remarks, versions)


def _setting(payload: dict[str, Any]) -> Setting:
    return Setting(payload["net"], payload["data"], payload["at"])


def _row(
    protocol: Protocol, payloads: Iterable[dict[str, Any]], paper: Mapping[Setting, Any]
) -> ProtocolCounts:
    """What one protocol counts; a setting with a run that has no count has none."""
    counts: dict[Setting, tuple[int, ...]] = {}
    missing: dict[Setting, str] = {}
    for payload in payloads:
        if protocol.name not in payload["counts"]:
            continue
        setting = _setting(payload)
        if protocol.name in payload["missing"]:
            missing[setting] = payload["missing"][protocol.name]
        else:
            counts[setting] = (*counts.get(setting, ()), payload["counts"][protocol.name])
    counts = {setting: values for setting, values in counts.items() if setting not in missing}
    return ProtocolCounts(protocol, counts, missing, paper)


def _bounds(payloads: Iterable[dict[str, Any]]) -> dict[Setting, int]:
    """The bounds of the networks on whose logits cross-entropy is taken once."""
    return {
        _setting(payload): payload["structural_upper_bound"]
        for payload in payloads
        if not payload["double_softmax"]
    }


def _accuracy(payloads: Iterable[dict[str, Any]]) -> dict[tuple[Setting, Variant], float]:
    """Mean over the runs, of the trained networks."""
    shares: dict[tuple[Setting, Variant], list[float]] = {}
    for p in payloads:
        if p["accuracy"] is not None:
            key = _setting(p), Variant(p["inputs"], p["double_softmax"])
            shares.setdefault(key, []).append(p["accuracy"])
    return {key: mean(own) for key, own in shares.items()}


def _remarks(payloads: Iterable[dict[str, Any]]) -> Iterable[str]:
    for p in payloads:
        if not p["training_done"]:
            variant = Variant(p["inputs"], p["double_softmax"])
            yield f"{p['net']} on {p['data']}, {variant}, seed {p['seed']}: {p['training']}"


def _point(setting: Setting, samples: int | None) -> PointSettings:
    return PointSettings(setting.net, setting.data, setting.at, samples=samples)
