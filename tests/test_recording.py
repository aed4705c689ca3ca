"""Recording: outputs in the order of the calls, and nothing after the block."""

import pytest
import torch

from minibert.training.recording import recording


def test_outputs_come_in_the_order_of_the_calls_and_with_their_gradients():
    layers = [torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)]
    x = torch.ones(1, 2)
    with recording(layers) as outputs:
        second, first = layers[1](x), layers[0](x)
    assert (
        outputs[0] is second
        and outputs[1] is first
        and all(output.requires_grad for output in outputs)
    )
    layers[0](x)
    assert len(outputs) == 2


def test_after_an_error_nothing_is_recorded_either():
    layer = torch.nn.Linear(2, 2)
    with pytest.raises(KeyError), recording([layer]) as outputs:
        raise KeyError
    layer(torch.ones(1, 2))
    assert outputs == []
