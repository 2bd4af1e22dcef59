"""Known mistakes of a convolution by hand, in words."""

from cbam_lite.practice.answer import Mistake

NUMBER = "book/convolution.html#one-number-by-hand"
ROUND = "book/convolution.html#which-way-round"
CHANNELS = "book/convolution.html#one-kernel-sees-every-channel"
MAPS = "book/convolution.html#kernels-make-64-maps"
SIZE = "book/convolution.html#how-large-is-the-output"

MISTAKES: dict[str, Mistake] = {
    "not_a_function": Mistake(
        "this is no function that could be called",
        (
            "What did you hand to `check`: the function, or what it gave?",
            "Print type(...) of what you hand in: it should be a function.",
            "Hand in the name without brackets: check(mine, like=...), not check(mine(...), like=...).",
        ),
        "",
    ),
    "not_a_map": Mistake(
        "what comes back is no tensor of numbers",
        (
            "What does the last line return?",
            "Print the type and the length of what comes back.",
            "Return one tensor (O, H', W'), not a tuple, a string or rows of unequal length.",
        ),
        MAPS,
    ),
    "input_changed": Mistake(
        "the function changes the image or the kernels that it was given",
        (
            "Are the image and the kernels after the call what they were before?",
            "Keep image.clone() and compare after each line.",
            "Write into a map of your own; no *=, += or assignment into image or kernels.",
        ),
        NUMBER,
    ),
    "kernel_flipped": Mistake(
        "the kernel is turned round before the sum: networks compute the cross-correlation, without a flip",
        (
            "Which number of the kernel meets the top left pixel of the window?",
            "Convolve an image that is 1 at one pixel and 0 elsewhere. Print the map beside that of "
            "torch.nn.functional.conv2d.",
            "kernel[u, v] belongs to image[i + u, j + v]. Take out the flip, or use correlate in place of convolve.",
        ),
        ROUND,
    ),
    "transposed_kernel": Mistake(
        "rows and columns of the kernel are swapped",
        (
            "Which index of the kernel runs down, which to the right?",
            "Use a kernel with one row of ones, then with one column of ones. Do they find the right lines?",
            "kernel[u, v] belongs to image[i + u, j + v]: u with the row, v with the column.",
        ),
        ROUND,
    ),
    "channels_reversed": Mistake(
        "the slices of the kernel stand in the reverse order of the channels",
        (
            "Which slice of the kernel belongs to the first channel?",
            "Use an image in which only channel 0 is not zero. Which numbers of the kernel does the map show?",
            "kernels[o, c] belongs to image[c], with the same c.",
        ),
        CHANNELS,
    ),
    "channels_not_added": Mistake(
        "the channels are not added: one kernel sees every channel and gives one number",
        (
            "How many products does one number of the map add up, for 3 channels and a 3x3 kernel?",
            "Print the result for an image in which only the last channel is not zero.",
            "Multiply image[:, i : i + k, j : j + k] by kernels[o], (C, k, k) both, and add up all C k k products.",
        ),
        CHANNELS,
    ),
    "channels_swapped_with_kernels": Mistake(
        "the sum runs over the kernels, not over the channels",
        (
            "kernels has the shape (O, C, k, k). Over which of the two first axes does the sum run?",
            "Use 4 kernels and 3 channels. How many maps come out? There should be one for each kernel.",
            "out[o] is the sum over c of image[c] with kernels[o, c].",
        ),
        CHANNELS,
    ),
    "one_kernel_channel": Mistake(
        "each channel is seen with the same slice of the kernel",
        (
            "kernels[o] has one slice for each channel. Are all of them used?",
            "Set kernels[:, 1:] to zero: the map should lose what the other channels brought. Does it?",
            "kernels[o, c] belongs to image[c]: the index c stands in both.",
        ),
        CHANNELS,
    ),
    "one_kernel_for_all": Mistake(
        "all output maps come from the same kernel",
        (
            "Compare the maps with each other. Should they be equal?",
            "Print the index of the kernel inside the loop.",
            "Map o comes from kernels[o]: use the loop's own index.",
        ),
        MAPS,
    ),
    "one_kernel_only": Mistake(
        "only one kernel is used: O kernels make O maps",
        (
            "How many maps come out for 4 kernels?",
            "Print the shape of the result; then look at where `return` stands.",
            "Loop over all kernels and return only after the loop, with all maps stacked to (O, H', W').",
        ),
        MAPS,
    ),
    "kernels_added": Mistake(
        "the maps of all kernels are added to one: each kernel has a map of its own",
        (
            "How many maps come out for 4 kernels?",
            "Print the shape of the result, and over which axes your sum runs.",
            "Add over the channels and the k x k places, not over the kernels.",
        ),
        MAPS,
    ),
    "wrong_output_size": Mistake(
        "the map has the wrong size",
        (
            "In how many rows can a window of 3 rows lie, in an image of 7?",
            "Count for an image of 3x3 and a kernel of 3x3: exactly one window fits.",
            "There are (H + 2 padding - k) // stride + 1 rows, and as many numbers come back.",
        ),
        SIZE,
    ),
    "fixed_kernel_size": Mistake(
        "the size of the kernel is written down in the code",
        (
            "Does your code work for kernels of 5x5 and 1x1?",
            "Look for a 3, a 2 or a 1 in your code that should depend on k.",
            "Take k from kernels.shape[-1] and use it for the windows and for the size of the map.",
        ),
        SIZE,
    ),
    "axes_swapped": Mistake(
        "rows and columns are swapped",
        (
            "Which axis is the height, which the width?",
            "Try an image of 7 x 9: print the shape of the result.",
            "Axis -2 runs down the rows, axis -1 along the columns: write [row, column] everywhere.",
        ),
        SIZE,
    ),
    "channels_last": Mistake(
        "the maps stand on the last axis: PyTorch puts them first, (O, H', W')",
        (
            "Which axis of your result counts the kernels?",
            "Print the shape for 4 kernels and an image of 7 x 9: it should be (4, 5, 7).",
            "Stack the maps with dim=0.",
        ),
        MAPS,
    ),
    "square_only": Mistake(
        "it works on square images only: the height is taken for the width",
        (
            "What changes if the image is 7 x 9 in place of 7 x 7?",
            "Look for a place where one size is used for both axes.",
            "Take H and W apart: H, W = image.shape[-2:], and two sizes of the map.",
        ),
        SIZE,
    ),
    "mean_for_sum": Mistake(
        "a mean stands where a sum should",
        (
            "Divide the right map by yours: is it the same number everywhere?",
            "Print that number and compare it with the number of products, C k k, or of channels, C.",
            "Write .sum() in place of .mean().",
        ),
        NUMBER,
    ),
    "max_for_sum": Mistake(
        "the largest product is taken: a convolution adds them up",
        (
            "What should happen to the C k k products of one window?",
            "Use an image of ones and a kernel of ones, with 3 channels and 3x3: the answer is 27.",
            "Write .sum() in place of .max().",
        ),
        NUMBER,
    ),
    "last_product_only": Mistake(
        "only the last product is kept: the products should be added up",
        (
            "Use an image of ones and a kernel of ones, with 3 channels and 3x3: the answer is 27. What is yours?",
            "Print the number of the map after each step of the innermost loop.",
            "Write out[o, i, j] += ... in place of out[o, i, j] = ... inside the loop.",
        ),
        NUMBER,
    ),
    "bias_missing": Mistake(
        "the bias is not added",
        (
            "Your function takes a bias. Where is it used?",
            "Call it twice, with a bias of 0 and of 1: the maps should differ by 1 everywhere.",
            "Add bias[o] to each number of map o.",
        ),
        MAPS,
    ),
    "bias_many_times": Mistake(
        "the bias is added more than once to each number",
        (
            "Inside which loop is the bias added?",
            "Call it with a bias of 0 and of 1: by how much do the maps differ?",
            "Add bias[o] once, after the sum over channels and places.",
        ),
        MAPS,
    ),
    "one_bias_for_all": Mistake(
        "all maps get the bias of the first kernel",
        (
            "How many numbers does the bias have for 4 kernels?",
            "Call it with the bias (0, 1, 2, 3), an image of zeros, and print one number of each map.",
            "Map o gets bias[o]; as a tensor, bias[:, None, None].",
        ),
        MAPS,
    ),
    "bias_subtracted": Mistake(
        "the bias is subtracted",
        (
            "Call it with an image of zeros and a bias of 1. What should come out?",
            "Look at the sign in front of the bias.",
            "Write + bias.",
        ),
        MAPS,
    ),
    "stride_ignored": Mistake(
        "the window does not move by the stride",
        (
            "Your function takes a stride. Where is it used?",
            "Print the places (row, column) at which windows start, for stride 2.",
            "Window (i, j) starts at row i * stride and column j * stride.",
        ),
        SIZE,
    ),
    "stride_one_axis": Mistake(
        "the stride is used along one axis only",
        (
            "How many rows and how many columns come out for stride 2?",
            "Print the places (row, column) at which windows start.",
            "Window (i, j) starts at row i * stride and column j * stride.",
        ),
        SIZE,
    ),
    "padding_ignored": Mistake(
        "the padding is not done",
        (
            "Your function takes a padding. Where is it used?",
            "Print the size of the map for k = 3 and padding 1: it should be that of the image.",
            "Put `padding` rows and columns of zeros around the image before the loops.",
        ),
        SIZE,
    ),
    "padding_always": Mistake(
        "the image is padded though nobody asked for it",
        (
            "How large is the map for an image of 7 x 9 and a 3x3 kernel without padding?",
            "Print the image's shape just before the loops.",
            "Without padding the map is (H - k + 1) x (W - k + 1); a parameter `padding` starts at 0.",
        ),
        SIZE,
    ),
    "padding_not_zero": Mistake(
        "the padding repeats or mirrors the edge: a convolution pads with zeros",
        (
            "Which numbers stand around the image after padding?",
            "Pad an image of ones by 1 and print it.",
            "Pad with the constant 0.",
        ),
        SIZE,
    ),
    "circular_padding": Mistake(
        "beyond the edge the numbers of the other side are read: a convolution pads with zeros",
        (
            "Which numbers does a window read that reaches over the edge?",
            "Put a 1 at one end of zeros. Does the other end see it?",
            "Pad with zeros; use no roll, no wrap and no index modulo the size.",
        ),
        SIZE,
    ),
    "padding_one_side": Mistake(
        "the image is padded at the top and left only",
        (
            "How many rows and columns of zeros stand around the image, on each side?",
            "Pad an image of ones by 1 and print it.",
            "Pad on all four sides: the image grows by 2 * padding along each axis.",
        ),
        SIZE,
    ),
    "padding_twice": Mistake(
        "the image is padded twice",
        (
            "By how much does the image grow along each axis for padding 1?",
            "Pad an image of ones by 1 and print it.",
            "`padding` rows on each side: the image grows by 2 * padding, not by 4 * padding.",
        ),
        SIZE,
    ),
    "relu_inside": Mistake(
        "negative numbers are cut to 0: a convolution is linear, the ReLU comes after it",
        (
            "Can a number of the map be negative?",
            "Compare the map of -image with minus the map of image.",
            "Take the ReLU, or the maximum with 0, out of the function.",
        ),
        NUMBER,
    ),
    "rounded": Mistake(
        "the numbers are rounded to whole ones",
        (
            "Which dtype does the map have?",
            "Print the dtype of the tensor that your loops write into.",
            "Make it with dtype=image.dtype.",
        ),
        NUMBER,
    ),
}
