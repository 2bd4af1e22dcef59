"""A stub."""


def convolution(trial: object, thing: object) -> str:
    raise AssertionError("this judge is not written yet")
