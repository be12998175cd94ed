"""The published training step: one whole forward for the generator, another whole one for the discriminator."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.published.adversary import LPIPS, PatchDiscriminator, feature_matching, hinge
from benchmarks.published.tokenizer import PublishedTokenizer

L1_WEIGHT, LPIPS_WEIGHT, FEATURE_WEIGHT, GAN_WEIGHT = 4.0, 4.0, 4.0, 0.01
CLIP = 1.0


class PublishedStep:
    """Both passes build the graph of the whole tokenizer and move the codebook. An image is judged by the image
    discriminator; a clip by the video discriminator, as in the second stage, where the other has no weight."""

    def __init__(self, tokenizer: PublishedTokenizer, judge: PatchDiscriminator, lpips: LPIPS, lr: float) -> None:
        self.tokenizer, self.judge, self.lpips = tokenizer.train(), judge.train(), lpips
        self.of_tokenizer = torch.optim.Adam(tokenizer.parameters(), lr=lr, betas=(0.5, 0.9))
        self.of_judge = torch.optim.Adam(judge.parameters(), lr=0.1 * lr, betas=(0.5, 0.9))

    def __call__(self, video: Tensor) -> tuple[Tensor, Tensor]:
        self.of_tokenizer.zero_grad()
        loss = self.generator_loss(video)
        loss.backward()
        _step(self.of_tokenizer, self.tokenizer)
        self.of_judge.zero_grad()
        judge_loss = self.judge_loss(video)
        judge_loss.backward()
        _step(self.of_judge, self.judge)
        return loss.detach(), judge_loss.detach()

    def generator_loss(self, video: Tensor) -> Tensor:
        back, found = self.tokenizer(video)
        loss = L1_WEIGHT * F.l1_loss(back, video) + found["commitment_loss"]
        frame = int(torch.randint(video.shape[2], ()))
        loss = loss + LPIPS_WEIGHT * self.lpips(video[:, :, frame], back[:, :, frame])
        fake, fake_features = self.judge(_judged(back))
        _, real_features = self.judge(_judged(video))
        matching = feature_matching(real_features, fake_features)
        return loss - GAN_WEIGHT * fake.mean() + FEATURE_WEIGHT * matching

    def judge_loss(self, video: Tensor) -> Tensor:
        back, _ = self.tokenizer(video)
        real, _ = self.judge(_judged(video))
        fake, _ = self.judge(_judged(back.detach()))
        return GAN_WEIGHT * hinge(real, fake)


def _judged(video: Tensor) -> Tensor:
    """An image is judged as a picture, a clip as a whole."""
    return video[:, :, 0] if video.shape[2] == 1 else video


def _step(optimizer: torch.optim.Optimizer, module: nn.Module) -> None:
    nn.utils.clip_grad_norm_(module.parameters(), CLIP)
    optimizer.step()
