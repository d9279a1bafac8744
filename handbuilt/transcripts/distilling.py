"""A transcript, distilled: its numbers moved towards what the model answers.

Which names a neuron reads stays as it was found. What moves is how strongly, thresholds, gains, and
matrices of low rank (LoRA, Hu et al. 2021, arXiv 2106.09685) that are added to what is dense. The
loss is the divergence from the model's answers, and what names tell: a name must not come to mean
something else, so its direction is drawn to its truth at first, and later held where it tells less
than the model's own readouts do. A distilled transcript can be distilled further, on other games (a
warm restart, Loshchilov and Hutter 2017, arXiv 1608.03983).
"""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn
from torch.func import functional_call

from extracted_rules.conditions import there
from extracted_rules.discovery.names import all_names, truth
from extracted_rules.files import KeptTensors
from extracted_rules.othello.game import random_games, replay, stream_seed
from handbuilt.analysis.streams import finish
from handbuilt.network.transformer import Attention, OthelloGPT
from handbuilt.transcripts.program import network
from handbuilt.transcripts.standing_in import Transcribed
from handbuilt.transcripts.transcript import (
    Distilled,
    Neurons,
    Transcript,
    TranscriptError,
    before_attention,
    before_mlp,
    places,
)

#: Games of a fit.
PURPOSE = "transcript-distil"
#: Counts how a fit is made, so that one made in another way is not gone on with.
METHOD = 2
#: Steps until the rate is full, and steps after which a fit is written down.
WARM, SAVE_EVERY = 20, 50
#: What starts a low-rank update; its other side starts at 0.
SMALL = 0.1


@dataclass(frozen=True)
class Settings:
    """What decides a fit's outcome; one that goes on must have the same.

    batch: games a step. rate: of strengths, thresholds and gains, for low-rank updates
    ``slowly`` times that; both fall to nothing. rank: of the updates. hold: the weight of what
    names tell, in mean squares of standard deviations beside nats. drawn: the first steps, of all
    that a transcript is distilled by, in which all of that counts; later only what is missed by
    more than in the model does. alone: the weight of the divergence of the model with one MLP
    replaced by the transcript's, another at each step.
    """

    steps: int = 2500
    batch: int = 16
    rate: float = 0.01
    slowly: float = 0.2
    rank: int = 16
    hold: float = 0.5
    drawn: int = 1000
    alone: float = 0.0
    seed: int = 1


@dataclass(frozen=True)
class Step:
    """A line of the log: the divergence in nats, how far names are from their truths, and the
    divergence of the model with one MLP of the transcript's, where that counts."""

    step: int
    kl: float
    held: float
    alone: float = 0.0


class Student(nn.Module):
    """The network of a transcript as a function of its numbers."""

    def __init__(self, transcript: Transcript, model: OthelloGPT, rank: int, seed: int) -> None:
        super().__init__()
        self.transcript, self.about = transcript, transcript.about
        self.network = network(_bare(transcript), model)
        for parameter in self.network.parameters():
            parameter.requires_grad_(False)
        for module in self.network.modules():
            if isinstance(module, Attention):
                module.fused = True
        self.names = len(self.about.names)
        self.numbers = nn.ParameterDict()
        for layer, neurons in enumerate(transcript.neurons):
            for part in ("strengths", "thresholds", "gains"):
                self._number(f"{layer}.{part}", getattr(neurons, part))
        drawn = torch.Generator().manual_seed(stream_seed("updates", seed))
        for name, (rows, columns) in self._sizes(model).items() if rank else ():
            first = torch.randn(rows, rank, generator=drawn) * SMALL / rank**0.5
            start = transcript.updates.get(name, (first, torch.zeros(rank, columns)))
            for side, factor in enumerate(start):
                self._number(f"{name}.{side}", factor)
        self.to(model.device)
        self.stands_in = Transcribed(self.network, transcript.basis.float().to(model.device))

    def _sizes(self, model: OthelloGPT) -> dict[str, tuple[int, int]]:
        """Of what is updated: everything dense."""
        written, shape = self.transcript.basis.shape[1], model.shape
        channels = shape.n_heads * shape.d_head
        sizes = {}
        for layer in range(shape.n_layers):
            part = f"blocks.{layer}"
            for which in "QKV":
                sizes[f"{part}.attn.W_{which}"] = self.names, channels
            sizes[f"{part}.attn.W_O"] = channels, written
            sizes[f"{part}.mlp.W_out"] = shape.d_mlp, written
            if layer in self.about.dense:
                sizes[f"{part}.mlp.W_in"] = self.names, shape.d_mlp
        return sizes

    @staticmethod
    def _key(name: str) -> str:
        return name.replace(".", "/")  # a ParameterDict's keys have no dots

    def _number(self, name: str, start: Tensor) -> None:
        self.numbers[self._key(name)] = nn.Parameter(start.float().clone())

    def number(self, name: str) -> Tensor:
        found: Tensor = self.numbers[self._key(name)]
        return found

    def _updated(self, name: str) -> Tensor | float:
        if self._key(f"{name}.0") not in self.numbers:
            return 0.0
        return self.number(f"{name}.0") @ self.number(f"{name}.1")

    def weights(self) -> dict[str, Tensor]:
        """The network's, by name."""
        found = dict(self.network.state_dict())
        unit = float(self.transcript.unit)
        for layer, neurons in enumerate(self.transcript.neurons):
            part = f"blocks.{layer}"
            for which in "QKV":
                name = f"{part}.attn.W_{which}"
                own = found[name]
                more = self._updated(name)
                if isinstance(more, Tensor):
                    heads, d_model, d_head = own.shape
                    more = self._read(more, d_model).view(d_model, heads, d_head).transpose(0, 1)
                found[name] = own + more
            for name in (f"{part}.attn.W_O", f"{part}.mlp.W_out"):
                own, more = found[name], self._updated(name)
                if name.endswith("W_out"):
                    own = self.number(f"{layer}.gains")[:, None] * own
                if isinstance(more, Tensor):
                    more = nn.functional.pad(more, (1, own.shape[-1] - 1 - more.shape[-1]))
                    more = more.view(own.shape)
                found[name] = own + more
            name, place = f"{part}.mlp.W_in", before_mlp(layer)
            if layer in self.about.dense:
                more = self._updated(name)
                if isinstance(more, Tensor):
                    found[name] = found[name] + self._read(more, len(found[name]))
                reads = found[name][1 : 1 + self.names]
            else:
                strengths = self.number(f"{layer}.strengths")
                blank = strengths.new_zeros(len(strengths), self.names)
                chosen = neurons.names.to(strengths.device)
                reads = blank.scatter(1, chosen, strengths).T / unit
                found[name] = self._read(reads, len(found[name]))
            center = (self.transcript.means[place] @ self.transcript.readouts).to(reads) * unit
            found[f"{part}.mlp.b_in"] = self.number(f"{layer}.thresholds") - center @ reads
        return found

    @staticmethod
    def _read(reads: Tensor, d_model: int) -> Tensor:
        """[names, n] as [d_model, n]: direction 0 takes off the mean, others are not read."""
        rest = reads.new_zeros(d_model - 1 - len(reads), reads.shape[1])
        return torch.cat([-reads.sum(0, keepdim=True), reads, rest])

    def forward(
        self, tokens: Tensor, at: list[str], streams: Mapping[int, Tensor]
    ) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
        """(logits; the names at some places, [places, B, T, names], in standard deviations; by
        layer, what MLPs add to the model's streams before them, as Transcribed.output does)."""
        module = _Cached(self.stands_in, at)
        logits, cache, outputs = functional_call(
            module, _prefixed(self.weights()), (tokens, streams)
        )
        norms = dict(zip(places(len(self.transcript.neurons)), self.transcript.norms, strict=True))
        told = []
        for place in at:
            felt = cache[f"{place}.hook_normalized"]
            told.append(
                (felt[..., 1 : 1 + self.names] - felt[..., :1])
                * float(norms[place] / self.transcript.unit)
            )
        return logits, torch.stack(told), outputs

    def distilled(self, how: Distilled) -> Transcript:
        """The transcript with these numbers."""

        def value(name: str) -> Tensor:
            return self.number(name).detach().cpu().double()

        neurons = tuple(
            Neurons(of.names, *(value(f"{n}.{p}") for p in ("strengths", "thresholds", "gains")))
            for n, of in enumerate(self.transcript.neurons)
        )
        updates = {
            name: (value(f"{name}.0"), value(f"{name}.1"))
            for name in self._sizes(self.network)
            if self._key(f"{name}.0") in self.numbers
        }
        about = msgspec.structs.replace(self.about, distilled=how)
        return replace(self.transcript, about=about, neurons=neurons, updates=updates)


def _bare(transcript: Transcript) -> Transcript:
    """Without gains and updates, which a student adds."""
    neurons = (replace(of, gains=torch.ones_like(of.gains)) for of in transcript.neurons)
    return replace(transcript, neurons=tuple(neurons), updates={})


class _Cached(nn.Module):
    """A network that also gives back what is read at some places, and what its MLPs make of other
    streams."""

    def __init__(self, stands_in: Transcribed, at: list[str]) -> None:
        super().__init__()
        self.network, self.stands_in = stands_in.network, stands_in
        self.at = [f"{place}.hook_normalized" for place in at]

    def forward(
        self, tokens: Tensor, streams: Mapping[int, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor], dict[int, Tensor]]:
        logits, cache = self.network.run_with_cache(tokens, self.at)
        outputs = {n: self.stands_in.output("mlp", n, x) for n, x in streams.items()}
        return logits, cache, outputs


def _prefixed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"network.{name}": tensor for name, tensor in weights.items()}


def distil(
    transcript: Transcript,
    model: OthelloGPT,
    settings: Settings,
    state: Path | None = None,
    *,
    half: bool = False,
    report: Callable[[Step], None] = lambda _: None,
) -> Transcript:
    """A transcript, as it was read or distilled before, fitted to its model.

    state: where a fit is written down, from which a killed one goes on. half: whether products are
    rounded to bfloat16. Raises TranscriptError for one that diverged, KeptError for a state of
    another fit, and OSError.
    """
    student = Student(transcript, model, settings.rank, settings.seed)
    fast = [p for key, p in student.numbers.items() if not key.startswith("blocks")]
    slow = [p for key, p in student.numbers.items() if key.startswith("blocks")]
    groups = [
        {"params": some, "full": rate}
        for some, rate in ((fast, settings.rate), (slow, settings.rate * settings.slowly))
        if some
    ]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.98))
    about = {
        "method": METHOD,
        "model": transcript.about.fingerprint,
        "transcript": transcript.fingerprint(),
        **asdict(settings),
    }
    kept = KeptTensors(state or Path(), {key: str(value) for key, value in about.items()})
    done = _load(student, optimizer, kept) if state and state.exists() else 0
    teach = _Teacher(transcript, model, half)
    earlier = transcript.about.distilled.steps if transcript.about.distilled else 0
    step = done
    for tokens in _batches(model, settings, earlier, done):
        for group in optimizer.param_groups:
            left = 1 - step / settings.steps
            group["lr"] = group["full"] * min(1.0, (step + 1) / WARM) * left
        layer = step % model.shape.n_layers if settings.alone else None
        kl, missed, alone = teach(student, tokens, layer)
        held = missed.mean()
        over = held if earlier + step < settings.drawn else (missed - teach.misses).relu().mean()
        loss = kl + settings.hold * over + settings.alone * alone
        if not bool(loss.isfinite()):
            raise TranscriptError(f"the fit diverged at step {step + 1}; choose a smaller rate")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        step += 1
        if state and (step % SAVE_EVERY == 0 or step == settings.steps):
            _save(student, optimizer, kept, step)
        report(Step(step, *(float(of.detach()) for of in (kl, held, alone))))
    numbers = sum(parameter.numel() for parameter in student.numbers.values())
    steps = earlier + settings.steps
    return student.distilled(Distilled(steps, settings.batch, settings.seed, numbers))


class _Teacher:
    """What is asked of a student on some games."""

    def __init__(self, transcript: Transcript, model: OthelloGPT, half: bool) -> None:
        self.model, self.half = deepcopy(model).requires_grad_(False), half
        every = all_names(model.geometry)
        names = transcript.about.names
        self.columns = [every.index(name) for name in names if name in set(every)]
        layers = len(transcript.neurons)
        numbers = range(before_attention(1), 2 * layers)
        self.at = [places(layers)[n] for n in numbers]
        told = transcript.told[:, list(numbers)].float().to(model.device)
        self.told, self.misses = told[:2], told[2]

    def __call__(
        self, student: Student, tokens: Tensor, layer: int | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(the mean divergence; [places, names], mean squares by which names miss their truths, 0
        where they have none; the mean divergence of the model with a layer's MLP of the student's,
        0 without a layer)."""
        geometry = self.model.geometry
        played = replay(tokens, board=geometry.size)
        moves, where = tokens[:, : geometry.context].long(), there(played, geometry.context)
        layers = [] if layer is None else [layer]
        middles = [f"blocks.{n}.hook_resid_mid" for n in layers]
        with torch.autocast(tokens.device.type, torch.bfloat16, enabled=self.half):
            with torch.no_grad():
                logits, cache = self.model.run_with_cache(moves, middles)
                wanted = logits[where][:, 1:].float().log_softmax(-1)
            streams = {n: cache[middle] for n, middle in zip(layers, middles, strict=True)}
            logits, told, outputs = student(moves, self.at, streams)
            replaced = [finish(self.model, streams[n] + outputs[n], n + 1) for n in layers]

        def divergence(logits: Tensor) -> Tensor:
            said = logits[where][:, 1:].float().log_softmax(-1)
            return (wanted.exp() * (wanted - said)).sum(-1).mean()

        kl = divergence(logits)
        alone = divergence(replaced[0]) if replaced else torch.zeros_like(kl)
        if not self.columns:
            return kl, torch.zeros_like(self.misses), alone
        facts, _ = truth(played)
        false, more = self.told[:, :, None]
        meant = false + more * facts[:, self.columns].float()
        return kl, (told[:, where].float() - meant).square().mean(1), alone


def _batches(model: OthelloGPT, settings: Settings, earlier: int, done: int) -> Iterator[Tensor]:
    """Games of the steps that are still to do, behind those of an earlier fit."""
    board, batch = model.geometry.size, settings.batch
    rest = torch.empty(0, model.geometry.max_plies, dtype=torch.uint8, device=model.device)
    for chunk in random_games(
        (earlier + settings.steps) * batch,
        settings.seed,
        board=board,
        purpose=PURPOSE,
        device=model.device,
        skip=(earlier + done) * batch,
    ):
        rest = torch.cat([rest, chunk])
        while len(rest) >= batch:
            yield rest[:batch]
            rest = rest[batch:]


def _save(student: Student, optimizer: torch.optim.Adam, kept: KeptTensors, step: int) -> None:
    tensors = {}
    for name, parameter in student.numbers.items():
        tensors[f"number.{name}"] = parameter.detach()
        for key, value in optimizer.state[parameter].items():
            tensors[f"{key}.{name}"] = torch.as_tensor(value)
    kept.write((tensors, {"done": str(step)}))


def _load(student: Student, optimizer: torch.optim.Adam, kept: KeptTensors) -> int:
    """How many steps are done."""
    tensors, says = kept.read()
    with torch.no_grad():
        for name, parameter in student.numbers.items():
            parameter.copy_(tensors[f"number.{name}"])
            # What is never read, a dense layer's strengths, has no state.
            optimizer.state[parameter] = {
                key: tensors[f"{key}.{name}"].to("cpu" if key == "step" else parameter.device)
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"{key}.{name}" in tensors
            }
    return int(says["done"])
