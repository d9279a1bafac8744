"""All layers in order: the first heads and neurons of a layer get its lowest numbers."""

from handbuilt.interpreter.legality import OCCUPIED_LOGIT
from handbuilt.programs import claims, facts, first_guess, legality, openings, passes, reading
from handbuilt.programs.directions import directions
from handbuilt.programs.records import Head, Neurons, Program
from handbuilt.programs.tables import Tables, tables
from handbuilt.strengths import Strengths


def write(strengths: Strengths) -> Program:
    """The interpreter's rules with these strengths as a program, for their board and layers."""
    s, t, plan = strengths, tables(strengths.geometry), strengths.plan
    owners, own_belief = first_guess.ask_who_put_discs_down(t, s)
    seen, own_seen = facts.see_moves(t)
    near = first_guess.ask_moves_nearby(t, s)
    heads: list[Head] = [*owners, *near, seen, openings.see_first_move(t)]
    neurons: list[Neurons] = []
    surplus = claims.Surplus(own_belief, own_seen)
    for layer in range(plan.last):
        neurons += _claiming(t, s, layer, surplus)
        heads += reading.hear(t, s, layer + 1)
    neurons += legality.count_last(t, s, plan.last)
    neurons.append(openings.know_replies(t, plan.last))
    return Program(
        geometry=t.board,
        layers=plan.layers,
        directions=directions(t),
        tokens=(facts.tokens(t),),
        positions=(facts.position(t), *first_guess.positions(t, s)),
        heads=tuple(heads),
        neurons=tuple(neurons),
        logits=legality.logits(t, s),
        logit_bias=OCCUPIED_LOGIT,
    )


def _claiming(t: Tables, s: Strengths, layer: int, surplus: claims.Surplus) -> tuple[Neurons, ...]:
    """The neurons of a layer that claims flips, and those of its other roles."""
    plan = s.plan
    found = [*claims.claim(t, s, layer, surplus)]
    if layer == 0:
        found += claims.clip_first(t, s, surplus)
    elif layer != plan.first_count:
        found += claims.clip(t, s, layer)
    found += claims.forget(t, s, layer)
    if layer == 0:
        found += (*facts.know_the_board(t), *openings.fade_opening(t, s))
    if layer == plan.look:
        found += passes.look(t, s, layer)
    if layer == plan.turn:
        found += passes.turn(t, layer)
    if layer == plan.first_count:
        found += legality.clip_after(t, s, layer)
        found += legality.count_first(t, s, layer)
    return tuple(found)
