"""Sixteen-bit arithmetic in a training, only where the device computes in it."""

from pathlib import Path

import pytest
import torch

from shelfwise_indexer import encoder_fit, fit, rerank_fit, rounding
from shelfwise_indexer.rounding import computes_bf16, rounded


@pytest.fixture(params=[False, True])
def processor(request, monkeypatch) -> bool:
    monkeypatch.setattr(rounding, "has_bf16", lambda: request.param)
    return request.param


def test_a_processor_that_lacks_bf16_is_not_made_to_work_it_out_number_by_number(processor):
    with rounded("cpu"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if processor else torch.float32)


def precisions(bf16: bool) -> set[str]:
    return {
        fit._arguments(fit.FitSettings(bf16=bf16), False, Path("f"), 1).mixed_precision,
        encoder_fit._arguments(encoder_fit.EncoderFitSettings(bf16=bf16), 0, Path("f"), 1).mixed_precision,
        rerank_fit._arguments(rerank_fit.RerankFitSettings(bf16=bf16), False, "f").mixed_precision,
    }


@pytest.mark.parametrize("launched", ["no", "fp16", "bf16"])
@pytest.mark.skipif(torch.cuda.is_available(), reason="the GPU decides where there is one")
def test_every_training_does_so_where_it_is_wanted_and_there(processor, launched, monkeypatch):
    """Whatever `accelerate launch` tells each process."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launched)
    assert precisions(True) == {"bf16" if processor else "no"}
    assert precisions(False) == {"no"}


def test_a_gpu_is_asked_itself(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **how: asked.append(how) or True)
    assert computes_bf16("cuda")
    assert asked == [{"including_emulation": False}]


def test_other_devices_compute_in_f32():
    assert not computes_bf16("mps")
