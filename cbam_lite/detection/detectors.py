"""A trained detector that comes with the package."""

from pathlib import Path
from typing import Any

from cbam_lite.detection.yolo import YoloTiny, yolo_tiny
from cbam_lite.training.checkpoints import load_checkpoint

SHIPPED = Path(__file__).with_name("shipped")
NAME = "plain"


def trained_detector() -> tuple[YoloTiny, dict[str, Any]]:
    """A small detector of the defects of `make_boxed_defects`, in eval mode, and its model card. Needs safetensors.

    It is ``yolo_tiny(0, 6, width=0.25)``, without attention. The file keeps its weights as float16, so that it stays
    below 1 MB; the scores on the card are those of these rounded weights.

    Returns:
        The network, and its card with data and seeds, command, scores, date, and the hash of the weights.

    Raises:
        ValueError: the file is damaged.
        ImportError: safetensors is not installed.

    Example:
        >>> model, card = trained_detector()
        >>> found = detect(model, make_boxed_defects(4, seed=1))
        >>> card["classes"]
        ['scratch', 'pit', 'crack', 'stain', 'dent', 'inclusion']
    """
    tensors, card = load_checkpoint(SHIPPED, NAME)
    model = yolo_tiny(0, len(card["classes"]), width=card["width"], anchors=card["anchors"])
    model.load_state_dict(tensors)  # copies float16 into float32
    model.classes = list(card["classes"])  # type: ignore[assignment]
    return model.eval(), card
