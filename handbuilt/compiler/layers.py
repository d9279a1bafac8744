"""All layers in order: the first heads and neurons of a layer get its lowest numbers."""

from handbuilt.compiler import (
    claims,
    facts,
    first_guess,
    legality,
    openings,
    passes,
    reading,
    state,
)
from handbuilt.interpreter.passes import LOOK_LAYER
from handbuilt.interpreter.state import LAST
from handbuilt.network.layout import Layout
from handbuilt.network.transformer import OthelloGPT
from handbuilt.strengths import Strengths
from handbuilt.weights import Weights


def compile_rules(strengths: Strengths) -> tuple[OthelloGPT, Layout]:
    """The weights of the interpreter's rules with these strengths, and what is where."""
    s, model, layout = strengths, OthelloGPT(), Layout()
    w = Weights(model, layout)
    state.lay_out(layout.directions)
    facts.embed(w)
    first_guess.embed(w, s)
    own_belief = first_guess.ask_who_put_discs_down(w, s)
    first_guess.ask_moves_nearby(w, s)
    own_seen = facts.see_moves(w)
    surplus = claims.Surplus(own_belief, own_seen)
    openings.see_first_move(w)
    for layer in range(LAST):
        claims.claim(w, s, layer, surplus)
        if layer == 0:
            claims.settle_first(w, s, surplus)
        elif layer < LAST - 1:
            claims.settle(w, s, layer)
        claims.forget(w, s, layer)
        if layer == 0:
            facts.know_the_board(w)
            openings.fade_opening(w, s)
        if layer == LOOK_LAYER:
            passes.look(w, s)
        if layer == LOOK_LAYER + 1:
            passes.turn(w)
        if layer == LAST - 1:
            legality.settle_after(w, s)
            legality.count_first(w, s)
        reading.hear(w, s, layer + 1)
    legality.count_last(w, s)
    openings.know_replies(w)
    legality.unembed(w, s)
    w.store()
    return model, layout
