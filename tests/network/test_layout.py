import pytest

from handbuilt.network.layout import Family, LayoutError, Slots


def test_names_and_places_are_inverse() -> None:
    slots = Slots("direction", 10)
    slots.add("belief", ["A1", "B1", "C1"])
    slots.add("need")
    assert [slots.name(i) for i in range(5)] == [
        "belief.A1",
        "belief.B1",
        "belief.C1",
        "need",
        "unused",
    ]
    assert slots.place("belief.C1") == 2
    assert slots["need"] == slice(3, 4)
    assert slots.used == 4


@pytest.mark.parametrize(
    ("name", "members", "at", "message"),
    [
        ("belief", ["x"], None, "laid out twice"),
        ("other", ["x"], 2, "overlaps 'belief'"),
        ("other", ["x"] * 2, None, "same name"),
        ("other", [str(i) for i in range(8)], None, "needs places 3..10 of 10"),
        ("other", ["x"], -1, "needs places"),
    ],
)
def test_overlaps_and_overruns_are_refused(
    name: str, members: list[str], at: int | None, message: str
) -> None:
    slots = Slots("direction", 10)
    slots.add("belief", ["A1", "B1", "C1"])
    start = slots.used if at is None else at
    with pytest.raises(LayoutError, match=message):
        slots.place_family(Family(name, start, tuple(members), ""))


def test_places_are_shared_with_what_they_stand_in_for_alone() -> None:
    slots = Slots("direction", 10)
    slots.add("message", ["A1", "B1"])
    slots.add("seen", ["A1", "B1"], over="message")
    assert slots["seen"] == slots["message"]
    assert (slots.used, slots.name(0), slots.place("seen.B1")) == (2, "message.A1", 1)
    slots.add("need")
    assert slots["need"] == slice(2, 3)


def test_unknown_names_and_places_are_refused() -> None:
    slots = Slots("direction", 10)
    for call in (lambda: slots.place("x"), lambda: slots["x"], lambda: slots.name(10)):
        with pytest.raises(LayoutError):
            call()
