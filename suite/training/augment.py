"""Random crops and mirror images of the mini-batches, from each replicate's own streams. Knows no network or loss.

As torchvision's RandomCrop(size, padding) and RandomHorizontalFlip(): an image gets a border of black, of which a part as large as
the image is taken, and with probability ½ it is mirrored. Only what a training step sees is changed: whole-set passes, by which
units are found dead, see the images as they are. The draws are made on the CPU, the pixels are picked on the device.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from suite.config.numeric import Numeric
from suite.data import Dataset
from suite.streams import generator

#: Steps whose draws are made in one go; part of what the draws are.
CHUNK = 16


class Augment:
    """``crop`` is the width of the border, ``image`` the (rows, columns, colours) of an input, ``black`` the value of the border.

    Step t of replicate i uses the draws of streams ``<purpose>/crop/chunk<t // CHUNK>`` (top and left of the part taken) and
    ``<purpose>/flip/chunk<…>`` (1: mirrored), one for each example of the batch: the same in every condition of one batch size.
    """

    def __init__(
        self, seed: int, replicates: range, image: tuple[int, int, int], crop: int, flip: bool, black: float, purpose: str = "augment"
    ) -> None:
        self.seed, self.replicates, self.image = seed, replicates, image
        self.crop, self.flip, self.black, self.purpose = crop, flip, black, purpose
        self.kept: tuple[int, NDArray[np.int64]] | None = None

    @staticmethod
    def of(numeric: Numeric, dataset: Dataset, seed: int, replicates: range, purpose: str = "augment") -> Augment | None:
        """What a condition asks for; None where it leaves the images as they are."""
        data = numeric.data
        if not data.crop and not data.flip:
            return None
        assert dataset.image is not None, "images to crop or mirror"
        black = -dataset.mean / dataset.std + data.offset
        return Augment(seed, replicates, dataset.image, data.crop, data.flip, black, purpose)

    def draws(self, step: int, batch: int) -> NDArray[np.int64]:
        """[replicate, example, 3]: first row, first column and whether mirrored, for one step."""
        chunk, place = divmod(step, CHUNK)
        if self.kept is None or self.kept[0] != chunk:
            self.kept = chunk, np.stack([self._chunk(replicate, chunk, batch) for replicate in self.replicates])
        return self.kept[1][:, place]

    def _chunk(self, replicate: int, chunk: int, batch: int) -> NDArray[np.int64]:
        found = np.zeros((CHUNK, batch, 3), dtype=np.int64)
        if self.crop:
            stream = generator(self.seed, replicate, f"{self.purpose}/crop/chunk{chunk}")
            found[:, :, :2] = stream.integers(0, 2 * self.crop + 1, (CHUNK, batch, 2))
        if self.flip:
            found[:, :, 2] = generator(self.seed, replicate, f"{self.purpose}/flip/chunk{chunk}").integers(0, 2, (CHUNK, batch))
        return found

    def inputs(
        self, values: Float[Tensor, "replicate batch feature"], step: int, whole: int | None = None, share: slice = slice(None)
    ) -> Float[Tensor, "replicate batch feature"]:
        """The batch of one step, each image cropped and mirrored by its own draws; no value is computed, only picked. ``values`` may be
        the ``share`` of a batch of ``whole`` examples.
        """
        rows, columns, colours = self.image
        count, batch = values.shape[:2]
        top, left, mirrored = torch.from_numpy(self.draws(step, whole or batch)[:, share].copy()).to(values.device).flatten(0, 1).unbind(1)
        images = values.reshape(-1, rows, columns, colours)
        bordered = F.pad(images, (0, 0, *(self.crop,) * 4), value=self.black)
        down = top[:, None] + torch.arange(rows, device=values.device)
        across = torch.arange(columns, device=values.device)
        across = left[:, None] + torch.where(mirrored[:, None] == 1, columns - 1 - across, across)
        places = (down[:, :, None] * (columns + 2 * self.crop) + across[:, None, :]).reshape(count * batch, -1, 1)
        return bordered.reshape(count * batch, -1, colours).gather(1, places.expand(-1, -1, colours)).reshape(values.shape)
