"""The order in which a loader reads its images, beside the images that it has read."""

import pytest
from torch.utils.data import Dataset
from ultralytics.data.build import build_dataloader

from yolo_callbacks.trainer.loader_order import passes

pytestmark = pytest.mark.training


class Numbers(Dataset):
    def __len__(self):
        return 11

    def __getitem__(self, position):
        return position


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("workers", [0, 2])
def test_the_order_of_each_pass(shuffle, workers):
    loader = build_dataloader(Numbers(), batch=3, workers=workers, shuffle=shuffle)
    order = passes(loader)
    for _ in range(3):
        assert [int(number) for batch in loader for number in batch] == next(order)
