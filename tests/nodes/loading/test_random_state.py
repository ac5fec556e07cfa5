"""What a node draws is its own: the states of torch's generators are as before when it has ended."""

import pytest
import torch

from nodes.loading.random_state import own_random


def test_what_is_drawn_inside_changes_nothing_outside():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with own_random("cpu"):
        torch.manual_seed(8)
        torch.rand(100)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("device", ["cuda:1", "cuda", "mps"])
def test_the_generator_of_another_device_is_kept_too_whatever_its_kind(device, monkeypatch):
    kept = []
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices, device_type: kept.append((devices, device_type)))
    own_random(device)
    assert kept == [([torch.device(device)], device.partition(":")[0])]
