"""Recipes: readable text that means the same tomorrow."""

from __future__ import annotations

import pytest

from napari_omezarr_cloud.errors import OperationError
from napari_omezarr_cloud.process import Recipe, Step

CHAIN = Recipe((Step("gaussian", {"sigma": 1.5}), Step("threshold_otsu"), Step("label")))


def test_a_recipe_comes_back_from_its_text() -> None:
    assert Recipe.from_yaml(CHAIN.to_yaml()) == CHAIN


def test_a_saved_recipe_names_every_value_even_the_defaults() -> None:
    assert CHAIN.to_yaml().splitlines()[1:] == [
        "version: 1",
        "steps:",
        "- operation: gaussian",
        "  values:",
        "    sigma: 1.5",
        "- operation: threshold_otsu",
        "  values:",
        "    threshold: null",
        "- operation: label",
        "  values:",
        "    threshold: null",
        "    connectivity: corners",
    ]


def test_equal_recipes_are_one_key() -> None:
    again = Recipe.from_yaml(CHAIN.to_yaml())

    assert {CHAIN: "cached"}[again] == "cached"
    assert again != Recipe((Step("gaussian", {"sigma": 2.5}), *CHAIN.steps[1:]))


def test_a_step_does_not_follow_the_dict_it_was_made_from() -> None:
    values = {"sigma": 1.0}
    step = Step("gaussian", values)

    values["sigma"] = 9.0

    assert step.values == {"sigma": 1.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("version: [", "no YAML", id="broken"),
        pytest.param("just words", "version", id="prose"),
        pytest.param("", "version", id="empty"),
        pytest.param("version: 2\nsteps: []", "version 2, this program reads 1", id="newer"),
        pytest.param("version: 1", "no list of steps", id="no steps"),
        pytest.param("version: 1\nsteps: [3]", "no operation: 3", id="a number as step"),
        pytest.param("version: 1\npath: /a\nsteps: []", "holds path", id="a path"),
        pytest.param(
            "version: 1\nsteps: [{operation: gausian}]", "Did you mean gaussian", id="operation"
        ),
        pytest.param(
            "version: 1\nsteps: [{operation: gaussian, values: {sgima: 1}}]",
            "Did you mean sigma",
            id="parameter",
        ),
        pytest.param(
            "version: 1\nsteps: [{operation: gaussian, values: {sigma: -1}}]",
            "at least 0",
            id="value",
        ),
        pytest.param(
            "version: 1\nsteps: [{operation: gaussian, values: 3}]", "name: value", id="values"
        ),
        pytest.param("!!python/object/apply:os.getcwd []", "no YAML", id="code"),
    ],
)
def test_a_text_that_is_no_recipe_says_why(text: str, message: str) -> None:
    with pytest.raises(OperationError, match=message):
        Recipe.from_yaml(text)
