"""A stub."""


def squeeze_excitation(trial: object, thing: object) -> str:
    raise AssertionError("this judge is not written yet")


def eca(trial: object, thing: object) -> str:
    raise AssertionError("this judge is not written yet")


def channel_attention(trial: object, thing: object) -> str:
    raise AssertionError("this judge is not written yet")
