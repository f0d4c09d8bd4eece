import pytest
import torch

from pointillist.errors import InputError
from pointillist.methods import Recipe
from pointillist.train.recipe import build_optimizer, rate_factor, set_rate


def test_poly_is_set_after_each_step():
    recipe = Recipe()
    factors = [rate_factor(recipe, step, 10) for step in range(11)]
    assert factors[0] == factors[1] == 1.0
    assert factors[2] == pytest.approx(0.9**0.9)
    assert factors[10] == pytest.approx(0.1**0.9)


def test_constant_stays():
    assert rate_factor(Recipe(schedule="constant"), 7, 10) == 1.0


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)])
def test_the_optimiser_has_the_recipes_constants(name, kind):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.5}]
    optimizer = build_optimizer(Recipe(optimizer=name, lr=0.1, weight_decay=0.3), groups)
    assert isinstance(optimizer, kind)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert optimizer.param_groups[0]["weight_decay"] == 0.3
    set_rate(optimizer, [0.5], 0.1)
    assert optimizer.param_groups[0]["lr"] == 0.05


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="optimiser"):
        build_optimizer(Recipe(optimizer="lion"), [])
    with pytest.raises(InputError, match="schedule"):
        rate_factor(Recipe(schedule="cosine"), 0, 1)
