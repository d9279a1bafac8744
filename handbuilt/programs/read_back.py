"""The program of a model, read back from its weights and its names."""

from collections.abc import Mapping

import numpy as np

from handbuilt.compiler import BALLAST, PLUMBING, SHARPNESS
from handbuilt.network.layout import Family, Layout
from handbuilt.network.transformer import OthelloGPT
from handbuilt.programs.records import Array, Directions, Head, Link, Neurons, Program, Term


def read_back(model: OthelloGPT) -> Program:
    """What a hand-built model was compiled from, to float32's precision; which rule a single link
    carries is not written in weights. Raises CheckpointError for a model without names."""
    reader = _Reader(model)
    layout, layers = reader.layout, range(model.shape.n_layers)
    return Program(
        geometry=model.geometry,
        layers=model.shape.n_layers,
        directions=tuple(
            Directions(family.name, family.members, family.sentence, family.over)
            for family in layout.directions.families.values()
            if family.name not in {d.name for d in PLUMBING}
        ),
        tokens=reader.writes(reader["embed.W_E"], middle=False),
        positions=reader.writes(reader["pos_embed.W_pos"], middle=False),
        heads=tuple(
            reader.head(layer, f) for layer in layers for f in layout.heads[layer].families.values()
        ),
        neurons=tuple(
            reader.neurons(layer, f)
            for layer in layers
            for f in layout.neurons[layer].families.values()
        ),
        logits=reader.reads(reader["unembed.W_U"], middle=False),
        logit_bias=reader.logit_bias(),
        norms=reader.norms(),
    )


class _Reader:
    """Matrices of a model by the names of the directions that they read and write."""

    def __init__(self, model: OthelloGPT) -> None:
        self.layout: Layout = model.layout
        self.context, self.root = model.geometry.context, np.sqrt(model.shape.d_head)
        self.smooth = "ballast.plus" not in self.layout.directions.families
        self.sharpness = 1.0 if self.smooth else SHARPNESS
        self._arrays = {
            name: tensor.double().cpu().numpy() for name, tensor in model.state_dict().items()
        }

    def __getitem__(self, name: str) -> Array:
        array: Array = self._arrays[name]
        return array

    def logit_bias(self) -> float | Array:
        if self.smooth:
            return self["unembed.b_U"]
        return float(self["unembed.W_U"][self.layout.directions["ballast.plus"], 0][0]) * BALLAST

    def norms(self) -> tuple[float, ...]:
        """Of a smooth program."""
        if not self.smooth:
            return ()
        layers = range(len(self.layout.heads))
        inner = [self[f"blocks.{layer}.{norm}.w"] for layer in layers for norm in ("ln1", "ln2")]
        return tuple(float(gain[0]) for gain in (*inner, self["ln_final.w"]))

    def _named(self, *, middle: bool) -> Mapping[str, slice]:
        """Places by name; ``middle``: between the halves of layer 0, where some have two names."""
        families = self.layout.directions.families.values()
        shadowed = {f.over for f in families if f.over} if middle else set()
        return {
            f.name: f.places
            for f in families
            if f.name not in shadowed
            and (middle or not f.over)
            and f.name not in {d.name for d in PLUMBING}
        }

    def reads(self, matrix: Array, *, middle: bool) -> tuple[Link, ...]:
        """Of [d_model, n]; what is 0 is not read."""
        named = self._named(middle=middle)
        return tuple(Link(name, matrix[at]) for name, at in named.items() if matrix[at].any())

    def writes(self, matrix: Array, *, middle: bool) -> tuple[Link, ...]:
        """Of [n, d_model]; what is 0 is not written."""
        named = self._named(middle=middle)
        return tuple(Link(name, matrix[:, at]) for name, at in named.items() if matrix[:, at].any())

    def neurons(self, layer: int, family: Family) -> Neurons:
        prefix, at = f"blocks.{layer}.mlp.", family.places
        return Neurons(
            layer,
            family.name,
            family.members,
            family.sentence,
            self.reads(self[prefix + "W_in"][:, at] / self.sharpness, middle=layer == 0),
            self[prefix + "b_in"][at] / self.sharpness,
            self.writes(self[prefix + "W_out"][at] * self.sharpness, middle=False),
            rule=family.rule,
            constants=self._constants(prefix + "b_out") if self.smooth else family.constants,
            rules=family.rules,
            sentences=family.sentences,
        )

    def _constants(self, name: str) -> dict[str, Array]:
        """Of a smooth program, whose constants all stand with a layer's first head or neurons."""
        return {link.name: link.weights[0] for link in self.writes(self[name][None], middle=False)}

    def head(self, layer: int, family: Family) -> Head:
        prefix, number = f"blocks.{layer}.attn.", family.start
        query, key, bias, value, output = (
            self[prefix + name][number] for name in ("W_Q", "W_K", "b_Q", "W_V", "W_O")
        )
        channels = int(output.any(1).nonzero()[0].max(initial=-1)) + 1
        if self.smooth:
            scores = np.zeros((0, 0))
            terms = [self.term(query, bias, key, slice(None))]
        else:
            scores = query[self.layout.directions["position"], : self.context] / self.root
            terms = [
                self.term(query, bias, key, slice(place, place + 1))
                for place in range(self.context, query.shape[1])
                if key[:, place].any() or bias[place]
            ]
        return Head(
            layer,
            family.name,
            family.sentence,
            scores,
            self.reads(value[:, :channels], middle=False),
            self.writes(output[:channels], middle=layer == 0),
            rule=family.rule,
            terms=tuple(terms),
            constants=(self._constants(f"{prefix}b_O") if self.smooth and number == 0 else {}),
        )

    def term(self, query: Array, bias: Array, key: Array, at: slice) -> Term:
        """One of some columns of queries and keys, [d_model, columns]."""
        return Term(
            self.reads(query[:, at] / self.root, middle=False),
            bias[at] / self.root,
            self.reads(key[:, at], middle=False),
            query[:, at].shape[1],
        )
