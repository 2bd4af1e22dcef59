"""A stub."""


def residual_block(trial: object, thing: object) -> str:
    raise AssertionError("this judge is not written yet")


def identity_insertion(trial: object, thing: object) -> str:
    raise AssertionError("this judge is not written yet")
