"""A trained detector that comes with the package."""

from pathlib import Path
from typing import Any

from cbam_lite.checks import choose
from cbam_lite.detection.boxed_defects import KINDS
from cbam_lite.detection.yolo import YoloTiny, yolo_tiny
from cbam_lite.training.checkpoints import load_checkpoint

SHIPPED = Path(__file__).with_name("shipped")
DETECTORS = {"plain": 0, "CBAM": 2}  # and their phi


def trained_detector(name: str = "plain") -> tuple[YoloTiny, dict[str, Any]]:
    """A small detector of the defects of `make_boxed_defects`, in eval mode, and its model card. Needs safetensors.

    It is `yolo_tiny` with a quarter of the channels. The file keeps its weights as float16, so that it stays below 1 MB;
    the scores on the card are those of these rounded weights.

    Args:
        name: "plain", or "CBAM" with phi = 2.

    Returns:
        The network, and its card with data and seeds, command, scores, date, and the hash of the weights.

    Raises:
        ValueError: there is none of that name, or its file is damaged.
        ImportError: safetensors is not installed.

    Example:
        >>> model, card = trained_detector()
        >>> found = detect(model, make_boxed_defects(4, seed=1))
        >>> card["classes"]
        ['scratch', 'pit', 'crack', 'stain', 'dent', 'inclusion']
    """
    phi = DETECTORS[choose("name", name, DETECTORS)]
    tensors, card = load_checkpoint(SHIPPED, name)
    model = yolo_tiny(phi, len(KINDS), width=card["width"], anchors=card["anchors"])  # type: ignore[arg-type]
    model.load_state_dict(tensors)  # copies float16 into float32
    model.classes = list(card["classes"])  # type: ignore[assignment]
    return model.eval(), card
