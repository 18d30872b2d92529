"""What the tests share: seeds, and the devices to run on."""

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def seeds():
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture(params=["cpu", *["cuda"] * torch.cuda.is_available()])
def device(request):
    return request.param
