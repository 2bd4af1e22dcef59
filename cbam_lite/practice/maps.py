"""A stub."""


def grad_cam_map(trial: object, thing: object) -> str:
    raise AssertionError("this judge is not written yet")


def grad_cam(trial: object, thing: object) -> str:
    raise AssertionError("this judge is not written yet")
