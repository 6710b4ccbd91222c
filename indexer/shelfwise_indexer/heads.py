"""Heads: what turns a trunk's reading of a text into the logits of the leaves."""

from typing import Literal, cast

import torch
from torch import Tensor, nn

HeadKind = Literal["linear", "cnn", "rnn"]
CNN_WIDTHS = (2, 3, 4)  # tokens; Kim: "Convolutional Neural Networks for Sentence Classification", EMNLP 2014
CNN_CHANNELS = 128  # of each width
RNN_UNITS = 128  # in each direction


class LinearHead(nn.Module):
    """Dropout and one linear layer on the text's pooled embedding (mean, first or last token: the backbone's own)."""

    def __init__(self, width: int, leaves: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, leaves)

    def forward(self, pooled: Tensor, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        """float [n, width], float [n, length, width] and int [n, length] to float [n, leaves]."""
        return cast(Tensor, self.output(self.dropout(pooled)))


class CnnHead(nn.Module):
    """Convolutions over 2, 3 and 4 tokens, each one's maximum over the text, dropout, one linear layer."""

    def __init__(self, width: int, leaves: int, dropout: float) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv1d(width, CNN_CHANNELS, size, padding=size - 1) for size in CNN_WIDTHS)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(len(CNN_WIDTHS) * CNN_CHANNELS, leaves)

    def forward(self, pooled: Tensor, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        """As `LinearHead.forward`; padding counts as zeros, so a text's logits do not depend on its batch."""
        masked = (tokens * attention_mask.unsqueeze(-1)).transpose(1, 2)
        # relu's zero is the least a maximum can be, and so is what a window of padding alone must not exceed.
        length = attention_mask.sum(1, keepdim=True)
        peaks = []
        for size, convolution in zip(CNN_WIDTHS, self.convolutions, strict=True):
            found = torch.relu(convolution(masked))
            place = torch.arange(found.shape[2], device=found.device).unsqueeze(0)
            peaks.append((found * (place < length + size - 1).unsqueeze(1)).amax(2))
        return cast(Tensor, self.output(self.dropout(torch.cat(peaks, dim=-1))))


class RnnHead(nn.Module):
    """A GRU over the tokens in each direction, both last states, dropout, one linear layer."""

    exported_length: int | None = None
    """tokens; what an exported graph pads texts to, because it holds a step for each token."""

    def __init__(self, width: int, leaves: int, dropout: float) -> None:
        super().__init__()
        self.forwards = nn.GRU(width, RNN_UNITS, batch_first=True)
        self.backwards = nn.GRU(width, RNN_UNITS, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * RNN_UNITS, leaves)

    def forward(self, pooled: Tensor, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        """As `LinearHead.forward`; each text is read to its own end, so padding changes nothing."""
        last = attention_mask.sum(1) - 1
        if self.exported_length is not None and torch.compiler.is_exporting():
            tokens = nn.functional.pad(tokens, (0, 0, 0, self.exported_length))[:, : self.exported_length]
        places = torch.arange(tokens.shape[1], device=tokens.device).unsqueeze(0)
        turned = (last.unsqueeze(1) - places).clamp_min(0).unsqueeze(-1).expand_as(tokens)
        ends = last.view(-1, 1, 1).expand(-1, 1, RNN_UNITS)
        states = [
            direction(read)[0].gather(1, ends).squeeze(1)
            for direction, read in ((self.forwards, tokens), (self.backwards, tokens.gather(1, turned)))
        ]
        return cast(Tensor, self.output(self.dropout(torch.cat(states, dim=-1))))


Head = LinearHead | CnnHead | RnnHead
HEADS: dict[HeadKind, type[LinearHead] | type[CnnHead] | type[RnnHead]] = {
    "linear": LinearHead,
    "cnn": CnnHead,
    "rnn": RnnHead,
}
