"""The exported model beside the trained one."""

from collections.abc import Sequence

import numpy as np
import torch

from shelfwise import Bundle
from shelfwise_indexer.export import load_checkpoint


def assert_exported_as_trained(bundle: Bundle, texts: Sequence[str], prompt: str = "") -> None:
    """Embeddings and probabilities of the runtime are those of the checkpoint, to 1e-4."""
    model = load_checkpoint(bundle).eval()
    prompted = [prompt + text for text in texts]
    tokens = model.trunk.tokenizer(prompted, padding=True, truncation=True, max_length=16, return_tensors="pt")
    with torch.inference_mode():
        outputs = model(tokens["input_ids"], tokens["attention_mask"])
    encoded = bundle.encoder.encode_documents(texts)
    expected = (outputs["logits"] / bundle.info["temperature"]).softmax(-1).numpy()
    np.testing.assert_allclose(encoded.vectors, outputs["embedding"].numpy(), atol=1e-4)
    np.testing.assert_allclose(encoded.probabilities, expected, atol=1e-4)
