"""Chapter 1: the worked example, the two views of a convolution, sizes and costs."""

import numpy as np
import pytest
import reference
import torch

from cbam_lite import multiply_adds, output_size, partial_maps

# The chapter's worked example: a 5x5 image and a kernel that looks for vertical edges.
IMAGE = [[3, 0, 1, 2, 7], [1, 5, 8, 9, 3], [2, 7, 2, 5, 1], [0, 1, 3, 1, 7], [4, 2, 1, 6, 2]]
KERNEL = [[1, 0, -1], [1, 0, -1], [1, 0, -1]]
BY_HAND = [[-5, -4, 0], [-10, -2, 2], [0, -2, -4]]


def test_worked_example_by_loops() -> None:
    answer = [[0] * 3 for _ in range(3)]
    for i in range(3):
        for j in range(3):
            for u in range(3):
                for v in range(3):
                    answer[i][j] += IMAGE[i + u][j + v] * KERNEL[u][v]
    assert answer == BY_HAND


def test_worked_example_by_partial_maps_and_conv2d() -> None:
    x, weight = torch.tensor(IMAGE).float()[None, None], torch.tensor(KERNEL).float()[None, None]
    expected = torch.tensor(BY_HAND).float()
    torch.testing.assert_close(partial_maps(x, weight)[0, 0, 0], expected, rtol=0, atol=0)
    torch.testing.assert_close(torch.nn.functional.conv2d(x, weight)[0, 0], expected, rtol=0, atol=0)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1, 3])
def test_partial_maps_sum_to_the_convolution(device: torch.device, stride: int, padding: int) -> None:
    x = torch.randn(2, 3, 9, 7, dtype=torch.float64, device=device)
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64, device=device)
    maps = partial_maps(x, weight, stride, padding)
    whole = torch.nn.functional.conv2d(x, weight, stride=stride, padding=padding)
    assert maps.shape == (2, 4, 3, output_size(9, 3, stride, padding), output_size(7, 3, stride, padding))
    torch.testing.assert_close(maps.sum(2), whole)
    expected = reference.conv2d(x.cpu().numpy(), weight.cpu().numpy(), stride=stride, padding=padding)
    np.testing.assert_allclose(whole.cpu().numpy(), expected, atol=1e-12)


def test_each_partial_map_is_one_channel_with_its_own_slice() -> None:
    x, weight = torch.randn(1, 3, 6, 6), torch.randn(5, 3, 3, 3)
    maps = partial_maps(x, weight)
    for o in range(5):
        for c in range(3):
            alone = torch.nn.functional.conv2d(x[:, c : c + 1], weight[o : o + 1, c : c + 1])[0, 0]
            torch.testing.assert_close(maps[0, o, c], alone)


def test_partial_maps_say_which_shapes_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3, 8, 8\) and kernels of shape \(4, 2, 3, 3\).*the same C"):
        partial_maps(torch.zeros(1, 3, 8, 8), torch.zeros(4, 2, 3, 3))
    with pytest.raises(ValueError, match=r"expected \(B, C, H, W\)"):
        partial_maps(torch.zeros(3, 8, 8), torch.zeros(4, 3, 3, 3))


@pytest.mark.parametrize("size", [5, 8, 13])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("dilation", [1, 2])
def test_output_size_is_what_conv2d_gives(size: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
    if size + 2 * padding < dilation * (kernel - 1) + 1:
        with pytest.raises(ValueError, match="does not fit"):
            output_size(size, kernel, stride, padding, dilation)
        return
    layer = torch.nn.Conv2d(1, 1, kernel, stride, padding, dilation)
    assert layer(torch.zeros(1, 1, size, size)).shape[2] == output_size(size, kernel, stride, padding, dilation)


def test_output_size_errors_name_the_fix() -> None:
    with pytest.raises(ValueError, match=r"reaches over 7 rows does not fit into 3 rows padded to 3: use padding>=2"):
        output_size(3, 7)
    assert output_size(3, 7, padding=2) == 1  # what the message proposes
    with pytest.raises(ValueError, match="over 8 rows does not fit into 3 rows padded to 7: use padding>=3"):
        output_size(3, 8, padding=2)
    with pytest.raises(ValueError, match="padding=-1 must be 0 or more"):
        output_size(5, 3, padding=-1)
    with pytest.raises(TypeError, match=r"padding must be a number, got '1' of type str"):
        output_size(5, 3, padding="1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="stride=0 must be at least 1"):
        output_size(5, 3, stride=0)
    with pytest.raises(TypeError, match=r"kernel must be a whole number, got 3\.0 of type float"):
        output_size(5, 3.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_multiply_adds_count_every_product(groups: int) -> None:
    """Every output value is a sum over its kernel: with inputs and weights of 1, the sum is the number of products."""
    layer = torch.nn.Conv2d(8, 16, 3, groups=groups, bias=False)
    torch.nn.init.ones_(layer.weight)
    y = layer(torch.ones(1, 8, 7, 6))
    assert multiply_adds(8, 16, 3, *y.shape[2:], groups=groups) == int(y.sum())


def test_multiply_adds_of_a_known_layer() -> None:
    assert multiply_adds(3, 64, 7, 112, 112) == 118_013_952  # ResNet's first convolution


def test_multiply_adds_says_which_groups_fit() -> None:
    with pytest.raises(ValueError, match=r"groups=3 must divide in_channels=8 and out_channels=12.*divisor such as 4"):
        multiply_adds(8, 12, 3, 5, 5, groups=3)


@pytest.mark.parametrize("name", ["in_channels", "out_channels", "kernel", "out_height", "out_width", "groups"])
def test_multiply_adds_refuses_what_is_no_size(name: str) -> None:
    sizes = {"in_channels": 8, "out_channels": 12, "kernel": 3, "out_height": 5, "out_width": 5, "groups": 4}
    assert multiply_adds(**sizes) == 25 * 12 * 2 * 9
    with pytest.raises(ValueError, match=rf"^{name}=0 must be at least 1$"):
        multiply_adds(**(sizes | {name: 0}))
    with pytest.raises(TypeError, match=rf"^{name} must be a whole number, got None"):
        multiply_adds(**(sizes | {name: None}))


def test_partial_maps_take_tensors_only() -> None:
    with pytest.raises(TypeError, match=r"^x and weight must be tensors, got ndarray and Tensor$"):
        partial_maps(np.zeros((1, 3, 8, 8)), torch.zeros(4, 3, 3, 3))  # type: ignore[arg-type]
