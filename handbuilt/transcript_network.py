"""The network of a transcript: a plain Othello-GPT in the model's own residual basis.

Names are folded into the matrices that read, LayerNorms have no gain or bias of their own, and
everything else is the model's. What each neuron and head does, in words, is kept in its metadata.
"""

import msgspec

from handbuilt.network.transformer import OthelloGPT
from handbuilt.sentences import KEY, sentences
from handbuilt.transcript import (
    Transcript,
    TranscriptError,
    before_attention,
    before_mlp,
    folded,
    places,
    weights_of,
)


def network(transcript: Transcript, model: OthelloGPT) -> OthelloGPT:
    """The network of a transcript of this model. Raises TranscriptError for another model's."""
    if transcript.about.fingerprint != model.fingerprint():
        raise TranscriptError(
            f"the transcript is of another model, which it calls {transcript.about.model!r}"
        )
    weights, names = weights_of(model), len(transcript.about.names)
    at = places(model.shape.n_layers)
    for layer, reads in enumerate(transcript.reads):
        number, part = before_attention(layer), f"blocks.{layer}.attn"
        mean, around = transcript.means[number], transcript.readouts[number]
        seen = around @ transcript.decoders[number]
        for name in "QKV":
            own = f"{part}.W_{name}", f"{part}.b_{name}"
            matrix, bias = folded(weights, at[number], *(weights[key] for key in own))
            weights[own[0]], weights[own[1]] = seen @ matrix, bias + mean @ (matrix - seen @ matrix)
        number, part = before_mlp(layer), f"blocks.{layer}.mlp"
        read_by = transcript.readouts[number] @ reads.weights(names)
        weights[f"{part}.W_in"] = read_by
        weights[f"{part}.b_in"] = reads.thresholds - transcript.means[number] @ read_by
        for norm in at[before_attention(layer) : before_mlp(layer) + 1]:
            weights[f"{norm}.w"].fill_(1)
            weights[f"{norm}.b"].zero_()
    about = transcript.about
    metadata = {
        "recipe": "transcript",
        "description": f"{about.model} in {names} names, which {about.games:,} random games told.",
        KEY: msgspec.json.encode(sentences(transcript, model)).decode(),
    }
    found = {name: tensor.float() for name, tensor in weights.items()}
    return OthelloGPT.of_weights(found, model.shape, metadata).to(model.device)
