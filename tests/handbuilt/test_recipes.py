"""The recipes: compiled weights against the rules, and the rules against the game."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from extracted_rules.families import FAMILIES, family
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.game_files import load_games
from extracted_rules.othello.geometry import Geometry
from handbuilt import OthelloGPT, build, program
from handbuilt.interpreter import Facts, Interpreter, Layer, Trace
from handbuilt.interpreter.brackets import bracket_lengths, bracket_weights, line_evidence
from handbuilt.interpreter.passes import STEP, lines_elsewhere
from handbuilt.interpreter.plies import lateness
from handbuilt.network.layout import Layout
from handbuilt.plan import Plan, PlanError
from handbuilt.programs.claims import HEADROOM
from handbuilt.programs.first_guess import most_near
from handbuilt.programs.tables import GATE
from handbuilt.recipes import RECIPES, UnknownRecipeError
from handbuilt.strengths import NEVER, VOICES, load_strengths

Cache = dict[str, Tensor]
BOARD = Geometry(8)
LOOK_LAYER = Plan().look
BARS = [("logic", 0.01, 0.95), ("calibrated", 0.003, 0.975)]
CLOSE = {"atol": 1e-2, "rtol": 1e-3}


@pytest.fixture(scope="module", params=list(RECIPES))
def recipe(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(recipe: str) -> OthelloGPT:
    return build(recipe)


@pytest.fixture(scope="module")
def logic() -> OthelloGPT:
    return build("logic")


@pytest.fixture(scope="module")
def layout(model: OthelloGPT) -> Layout:
    return model.layout


@pytest.fixture(scope="module", params=["random", "tournament"])
def games(request: pytest.FixtureRequest) -> Tensor:
    """32 games that last 60 plies, passes included: random ones, and ones people played."""
    if request.param == "random":
        tokens = next(random_games(40, 11, purpose="test"))
    else:
        tokens = next(load_games(request.getfixturevalue("tournament_games")))
    return tokens[(tokens[:, 59] > 0)][:32]


@pytest.fixture(scope="module")
def cache(model: OthelloGPT, games: Tensor) -> Cache:
    with torch.inference_mode():
        logits, cache = model.run_with_cache(games[:, :59].long())
    return {**cache, "logits": logits}


@pytest.fixture(scope="module")
def trace(recipe: str, games: Tensor) -> Trace:
    return Interpreter(load_strengths(recipe))(games[:, :59].long())


@pytest.fixture(scope="module")
def decided(trace: Trace) -> Tensor:
    """bool [B]: games in which no pass is half believed.

    There a side turns so steeply that rounding shows: an error in ``passed`` grows 16-fold.
    """
    half = (trace.passed - 0.5).abs() < 0.07
    certain = ~half.any(-1)
    assert float(certain.double().mean()) > 0.6
    return certain


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found.double(), expected, **CLOSE)


@pytest.mark.parametrize("layer", range(7))
def test_every_layers_directions_agree_with_the_rules(
    layer: int, cache: Cache, trace: Trace, layout: Layout, games: Tensor, decided: Tensor
) -> None:
    here, chosen = layout.directions, decided if layer > LOOK_LAYER else torch.ones(len(games)) > 0
    rules = Layer(**{name: value[chosen] for name, value in vars(trace.layers[layer]).items()})
    middle = cache[f"blocks.{layer}.hook_resid_mid"][chosen]
    behind = cache[f"blocks.{layer}.hook_resid_post"][chosen]
    belief = middle[..., here["belief"]]
    if layer == 0:
        # There the move's own square holds the surplus of attention, which is discounted later.
        own = torch.nn.functional.one_hot(BOARD.square_of_token[games[:, :59].long()], 64)
        belief = belief * (1 - own)
    close(belief, rules.belief)
    close(middle[..., here["need"]][..., 0], rules.need)
    close(behind[..., here["claims"]][..., 0], rules.claims)
    close(behind[..., here["message"]], rules.message)
    close(behind[..., here["clipped"]], rules.clipped)
    close(behind[..., here["side"]][..., 0], rules.side)
    close(behind[..., here["blank"]], 1 - trace.facts.occupied[chosen][..., list(BOARD.playable)])


def test_the_look_for_passes_agrees_with_the_rules(
    cache: Cache, trace: Trace, layout: Layout, recipe: str
) -> None:
    here = layout.directions
    counted = cache[f"blocks.{LOOK_LAYER}.hook_resid_post"][..., here["others"]][..., 0]
    torch.testing.assert_close(counted.double(), trace.others, atol=0.02, rtol=1e-3)
    heard = cache[f"blocks.{LOOK_LAYER + 1}.hook_resid_mid"]
    close(heard[..., here["passed"]][..., 0], trace.passed)
    if recipe == "calibrated":
        assert (trace.passed > 0.5).any()
        assert (trace.others[:, 1:] > 0.5).any()


def test_a_noticed_pass_changes_what_is_read() -> None:
    """With the same games and a look that finds nothing, sides stay and choices differ."""
    games = torch.cat(list(random_games(20_000, 13, purpose="test")))
    games = games[replay(games).passes[:, :15].any(-1)][:4, :30].long()
    noticed = Interpreter(load_strengths("calibrated"))(games)
    deaf = replace(
        load_strengths("calibrated"), pass_base=torch.tensor(-NEVER, dtype=torch.float64)
    )
    ignored = Interpreter(deaf)(games)
    turned = noticed.layers[LOOK_LAYER + 1].side != ignored.layers[LOOK_LAYER + 1].side
    assert turned.equal(noticed.passed > 0.5 - 0.5 / STEP)
    assert turned.any()
    likeliest = noticed.logits.argmax(-1) != ignored.logits.argmax(-1)
    assert (likeliest & turned).any()
    assert not (likeliest & ~turned).any()


def test_lines_elsewhere_are_the_movers_other_legal_moves(games: Tensor) -> None:
    """On boards that are known for sure, as a reader of the rules would count them."""
    logic, tokens = load_strengths("logic"), games[:, :59].long()
    sure = torch.tensor([0.5, 0.0, 0.0], dtype=torch.float64)
    rules = replace(
        logic,
        other_bias=logic.again_bias,
        other_run=-sure[:, None].expand_as(logic.other_run),
        other_end=sure.expand_as(logic.other_end),
        other_line=torch.ones_like(logic.other_line),
    )
    played, facts = replay(games), Facts.of(tokens, BOARD, torch.float64)
    board = played.boards[:, :59].double() * played.movers[:, :59, None]
    nothing = facts.placed * 0
    state = Layer(board, *[nothing] * 6)
    found = lines_elsewhere(rules, state, facts)
    legal = played.legal[:, :59].clone()
    legal.scatter_(2, BOARD.square_of_token[tokens][..., None], False)
    assert (found[:, 1:] > 0.5).equal(legal.any(-1)[:, 1:])
    assert (found[:, 1:] >= legal.sum(-1)[:, 1:]).all()


def test_early_passes_turn_sides_and_nothing_else_does() -> None:
    """Of games with a pass before move 15, the mover two moves later is mostly known."""
    games = torch.cat(list(random_games(20_000, 13, purpose="test")))
    early = replay(games).passes[:, :15].any(-1)
    assert int(early.sum()) >= 15
    rules = Interpreter(load_strengths("calibrated"))
    for chosen, right in ((early, 0.6), (~early, 1.0)):
        some = games[chosen][:50]
        movers = replay(some).movers[:, 16]
        side = rules(some[:, :17].long()).layers[LOOK_LAYER + 1].side[:, 16]
        assert float((side.sign() == movers).double().mean()) >= right


def test_the_last_stage_agrees_with_the_rules(
    cache: Cache, trace: Trace, layout: Layout, decided: Tensor
) -> None:
    here, playable = layout.directions, list(BOARD.playable)
    found = {name: value[decided] for name, value in cache.items()}
    close(found["blocks.7.hook_resid_mid"][..., here["belief"]], trace.last_belief[decided])
    # On an occupied square a count means nothing and nothing reads it.
    blank = trace.facts.occupied[decided][..., playable] == 0
    first = found["blocks.6.hook_resid_post"][..., here["count"]][blank]
    close(first, trace.first_count[decided][..., playable][blank])
    last = found["blocks.7.hook_resid_post"][..., here["count"]][blank]
    close(last, trace.last_count[decided][..., playable][blank])
    close(found["logits"] / 30, trace.logits[decided] / 30)


def test_occupied_squares_are_exact_at_every_layer(
    cache: Cache, layout: Layout, games: Tensor
) -> None:
    truth = replay(games).boards[:, 1:60, list(BOARD.playable)] != 0
    for layer in range(8):
        blank = cache[f"blocks.{layer}.hook_resid_post"][..., layout.directions["blank"]]
        assert ((blank < 0.5) == truth).all()
        assert float((blank - blank.round()).abs().max()) < 1e-3


def test_what_comes_later_changes_nothing_before(recipe: str, games: Tensor) -> None:
    rules = Interpreter(load_strengths(recipe))
    whole, part = rules(games[:4, :59].long()), rules(games[:4, :20].long())
    torch.testing.assert_close(part.logits, whole.logits[:, :20], atol=1e-9, rtol=1e-9)


def test_gates_are_larger_than_the_evidence_they_silence(
    cache: Cache, layout: Layout, trace: Trace, recipe: str
) -> None:
    """What a bracket would claim, were its gate open: the weights need it to stay below GATE."""
    s, lengths = load_strengths(recipe), bracket_lengths(BOARD)
    late = lateness(trace.facts.placed.shape[1])[:, None]
    near = cache["blocks.0.hook_resid_mid"][..., layout.directions["nearby"]].double()
    heard = [(trace.layers[0].belief, near)] + [
        (now.belief, last.clipped, last.message)
        for last, now in zip(trace.layers, trace.layers[1:], strict=False)
    ]
    for layer, sources in enumerate(heard):
        for voice in range(len(VOICES)):
            need = trace.layers[layer].need[..., None]
            bar = s.bias[layer, voice] + s.forgive[layer, voice] * need
            evidence = bar[..., lengths] + s.late[layer, voice] * late
            for i, values in enumerate(sources):
                weights = bracket_weights(
                    BOARD, s.run[layer, voice, :, i], s.end[layer, voice, :, i]
                )
                evidence = evidence + values @ weights.T
            assert float(evidence.max()) < GATE
    found, last = trace.layers[LOOK_LAYER], trace.layers[LOOK_LAYER - 1]
    lines = line_evidence(BOARD, s.other_run, s.other_end, (found.belief, last.clipped))
    assert float((lines + s.other_bias[lengths]).max()) < GATE


@pytest.mark.parametrize("itself", [(3.0, -2.0), (-0.4, 0.0)])
@pytest.mark.parametrize("silent", [None, 0, 1])
def test_layer_0_guesses_by_rule(
    games: Tensor, itself: tuple[float, float], silent: int | None
) -> None:
    """Whatever the move itself says, and if one memory is empty."""
    s = load_strengths("calibrated")
    near = s.near.clone()
    if silent is not None:
        near[silent] = 0
    s = replace(s, near=near, near_now=torch.tensor(itself, dtype=torch.float64))
    model = build(s)
    layout = model.layout
    tokens = games[:2, :59].long()
    with torch.inference_mode():
        stream = model.run_with_cache(tokens)[1]["blocks.0.hook_resid_post"].double()
    rules = Interpreter(s)(tokens).layers[0]
    for name, wanted in (("clipped", rules.clipped), ("message", rules.message)):
        torch.testing.assert_close(stream[..., layout.directions[name]], wanted, **CLOSE)


def test_what_moves_nearby_say_stays_below_its_bound(
    cache: Cache, layout: Layout, recipe: str
) -> None:
    near = cache["blocks.0.hook_resid_mid"][..., layout.directions["nearby"]]
    assert float(near.abs().max()) <= most_near(load_strengths(recipe)) < HEADROOM["clipped"]


def test_the_sink_says_nothing(cache: Cache, layout: Layout) -> None:
    """Position 0 carries no message, so attention parked there adds nothing."""
    for layer in range(7):
        first = cache[f"blocks.{layer}.hook_resid_post"][:, 0]
        assert float(first[..., layout.directions["message"]].abs().max()) < 1e-5
        assert float(first[..., layout.directions["placed"]].abs().max()) < 1e-5


def test_attention_depends_on_positions_alone_where_it_should(
    cache: Cache, layout: Layout, recipe: str
) -> None:
    """The need and passes draw attention; reading heads hear by claims and need, then by sides."""
    free = {"need", "passed"}
    if recipe == "calibrated":
        free |= {"flips-mine", "flips-theirs", "board-mine", "board-theirs"}
    for layer in range(8):
        pattern = cache[f"blocks.{layer}.attn.hook_pattern"]
        spread = (pattern - pattern[:1]).abs().amax((0, 2, 3))
        for name in layout.heads[layer].families:
            if name not in free:
                assert float(spread[layout.heads[layer][name].start]) < 2e-4, (layer, name)


def all_openings(plies: int) -> Tensor:
    """uint8 [n, 60]: every legal game of that many plies."""
    games = torch.zeros(1, 60, dtype=torch.uint8)
    for ply in range(plies):
        game, square = replay(games).legal[:, ply].nonzero(as_tuple=True)
        games = games[game]
        games[:, ply] = BOARD.token_of_square[square].to(torch.uint8)
    return games


def test_the_legal_set_is_exact_at_every_position_of_plies_2_to_6(logic: OthelloGPT) -> None:
    """All 1,396 games of five plies: any threshold in a factor of ten separates legal moves."""
    openings = all_openings(5)
    assert len(openings) == 1396
    legal = replay(openings).legal[:, 1:6, BOARD.square_of_token[1:]]
    with torch.inference_mode():
        p = logic(openings[:, :5].long()).softmax(-1)[..., 1:]
    for tau in (1e-3, 3e-3, 1e-2):
        assert (p > tau).equal(legal)


def test_rotated_games_give_rotated_answers(model: OthelloGPT, games: Tensor) -> None:
    """No square has a strength of its own, so the model has the game's symmetries."""
    few = games[:4]
    with torch.inference_mode():
        plain = model(few[:, :59].long())
        for symmetry in BOARD.start_symmetries[1:]:
            turned = model(BOARD.transform_tokens(few, symmetry)[:, :59].long())
            to = BOARD.token_of_square[BOARD.symmetries[symmetry][BOARD.square_of_token[1:]]]
            torch.testing.assert_close(turned[..., 1:], plain[..., to], atol=0.5, rtol=1e-3)


def test_every_head_and_neuron_that_is_used_has_a_name(model: OthelloGPT, layout: Layout) -> None:
    state = model.state_dict()
    for layer in range(8):
        used = state[f"blocks.{layer}.mlp.W_in"].abs().amax(0) > 0
        named = torch.tensor([layout.neurons[layer].name(i) != "unused" for i in range(2048)])
        assert used.equal(named)
        writes = state[f"blocks.{layer}.attn.W_O"].abs().amax((1, 2)) > 0
        assert [layout.heads[layer].name(i) != "unused" for i in range(8)] == writes.tolist()
    names = [layout.directions.name(i) for i in range(512)]
    written = torch.cat(
        [state["embed.W_E"], state["pos_embed.W_pos"]]
        + [state[f"blocks.{i}.attn.W_O"].flatten(0, 1) for i in range(8)]
        + [state[f"blocks.{i}.mlp.W_out"] for i in range(8)]
    )
    nameless = [i for i in range(512) if names[i] == "unused"]
    assert float(written[:, nameless].abs().max()) == 0
    assert len(set(names) - {"unused"}) == 512 - len(nameless) == layout.directions.used
    for slots in (layout.directions, *layout.heads, *layout.neurons):
        for place in range(0, slots.used, 7):
            assert slots.place(slots.name(place)) == place
            assert slots.family_at(place).sentence  # type: ignore[union-attr]


def test_rule_families_count_their_neurons(recipe: str, layout: Layout) -> None:
    assert len({f.id for f in FAMILIES}) == len(FAMILIES)
    named = [(0, "bracket"), (6, "line"), (7, "line-again"), (7, "second-line")]
    if recipe == "calibrated":  # `logic` does not look for passes
        named.append((LOOK_LAYER, "other"))
    for layer, name in named:
        places = layout.neurons[layer][name]
        assert places.stop - places.start == family(name).instances(BOARD)
    around = (BOARD.pair_class > 0) & ~torch.eye(64, dtype=torch.bool)
    assert int(around.sum()) == family("near").instances(BOARD)


@pytest.mark.parametrize(("name", "illegal_below", "f1_above"), BARS)
def test_recipes_clear_their_bars_on_fresh_games(
    name: str, illegal_below: float, f1_above: float
) -> None:
    """A coarse check on 60 games; the README's figures come from `make compare`."""
    games = next(random_games(60, 12, purpose="test"))
    played = replay(games)
    with torch.inference_mode():
        p = build(name)(games[:, :59].long()).softmax(-1)[..., 1:]
    legal = played.legal[:, 1:60, BOARD.square_of_token[1:]]
    free = legal.any(-1) & ~(played.passes[:, 1:60].cumsum(-1) > 0)
    illegal = ~legal.gather(-1, p.argmax(-1, keepdim=True))[..., 0]
    predicted = p > (1e-3 if name == "logic" else 1e-2)
    hits = (predicted & legal)[free].sum()
    assert float(illegal[free].double().mean()) < illegal_below
    assert float(2 * hits / (predicted[free].sum() + legal[free].sum())) > f1_above


def test_a_saved_model_is_the_same_model(logic: OthelloGPT, games: Tensor, tmp_path: Path) -> None:
    logic.save(tmp_path / "logic.safetensors")
    loaded = OthelloGPT.load(tmp_path / "logic.safetensors")
    tokens = games[:2, :59].long()
    assert loaded(tokens).equal(logic(tokens))
    assert loaded.metadata["recipe"] == "logic"
    described = loaded.layout.describe("3.n0")
    assert described[0].startswith("layer 3 neuron 0: bracket.")


def test_unknown_recipes_are_refused() -> None:
    with pytest.raises(UnknownRecipeError, match="logic"):
        build("magic")


def test_rules_are_for_their_own_board() -> None:
    with pytest.raises(PlanError, match="a board of 8 is asked for, and rules for 6 x 6"):
        build(program("logic", board=6), board=8)
