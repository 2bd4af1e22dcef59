"""The known mistakes of the spatial gate and of CBAM, in words."""

from cbam_lite.practice.answer import Mistake

WHERE = "book/cbam.html#where-two-maps-one-convolution"
ORDER = "book/cbam.html#does-the-order-matter"
WHOLE = "book/cbam.html#the-whole-module-in-two-lines"

MISTAKES: dict[str, Mistake] = {
    "no_padding": Mistake(
        "the convolution has no padding: its result is smaller than what it reads",
        (
            "How many numbers enter your convolution, and how many come out, along each axis?",
            "Print its shapes: a 7x7 kernel leaves 3x7 of 9x13 places, one of size k C - k + 1 of C channels.",
            "Pad by (k - 1) / 2 on each side: 3 for k = 7, 1 for k = 3.",
        ),
        WHERE,
    ),
    "sum_over_channels": Mistake(
        "a sum over the channels stands where the mean should",
        (
            "What happens to your first map if F has twice as many channels?",
            "Print it beside F.mean(1): how many times as large is it?",
            "Divide by the number of channels, or use the mean over axis 1.",
        ),
        WHERE,
    ),
    "reflect_padding": Mistake(
        "the padding mirrors the map at its edge: the paper pads with zeros",
        (
            "What does a gate in the corner read outside the map?",
            "Compare the gates at the edge with those of a convolution without padding_mode.",
            "Pad with zeros, the default of torch's convolutions.",
        ),
        WHERE,
    ),
    "scales_F": Mistake(
        "the last product takes F, not F': the channel gate is lost on the way",
        (
            "Which map does your spatial gate scale in the end?",
            "Print out / F for two channels: they are alike, though your channel gates are not.",
            "F'' is M_s(F') times F', not times F.",
        ),
        WHOLE,
    ),
    "gates_not_applied": Mistake(
        "your gates are chained, and F is never multiplied by them",
        (
            "What do your two sub-modules give: a gate or a scaled map? Print both shapes.",
            "Print the shape of what enters the spatial gate: it needs a map (B, C, H, W).",
            "A sub-module that gives a gate needs a product where it is used: F' is the gate times F.",
        ),
        WHOLE,
    ),
    "kernel_size_ignored": Mistake(
        "the module does not follow its parameter for the kernel size",
        (
            "Make the module with kernel_size=3, and with another one. What changes?",
            "Print the shape of the convolution's weight, and run both on a map.",
            "Use the parameter where a number stands now, for the padding, too: kernel_size // 2.",
        ),
        WHERE,
    ),
    "gate_per_channel": Mistake(
        "the spatial gate differs from channel to channel",
        (
            "How many values has the spatial gate at one place?",
            "Print its shape: (B, 1, H, W), one gate for all channels.",
            "The convolution has two input maps and one output map.",
        ),
        WHERE,
    ),
    "pooled_over_places": Mistake(
        "the places are pooled where the channels should be",
        (
            "What should be left after the pools of a spatial gate: channels or places?",
            "Print the shape of your descriptors: (B, 1, H, W).",
            "Reduce over axis 1, and keep it (keepdim).",
        ),
        WHERE,
    ),
    "descriptors_added": Mistake(
        "the two maps are added before the convolution, not concatenated",
        (
            "How many maps enter your convolution?",
            "Print the shape of its weight: (1, 2, 7, 7), one kernel for each of the two maps.",
            "Concatenate mean and maximum over axis 1.",
        ),
        WHERE,
    ),
    "convolves_the_map": Mistake(
        "the convolution reads all channels of F: they are not pooled first",
        (
            "How many input channels has your convolution?",
            "Print the shape of its weight: (1, 2, 7, 7), whatever C is.",
            "Take the mean and the maximum over the channels first, then convolve these two maps.",
        ),
        WHERE,
    ),
    "spatial_reads_F": Mistake(
        "the spatial gate reads F, not F'",
        (
            "Which map does your spatial gate get?",
            "Scale one channel's gate to 0: does the spatial gate still see that channel?",
            "Compute F' = M_c(F) F first, and pass F' to the spatial gate.",
        ),
        WHOLE,
    ),
    "spatial_first": Mistake(
        "the spatial gate comes before the channel gate",
        (
            "Which of the two gates is applied to F first?",
            "Print what each gate gets, and compare it with F.",
            "The paper's best order is channels first, then places.",
        ),
        ORDER,
    ),
    "gates_added": Mistake(
        "the two gates are added, not applied one after the other",
        (
            "What is F'' if one of the gates is 0?",
            "Print out / F at a few places, and the two gates beside it.",
            "Scale F by the channel gate, then the result by the spatial gate.",
        ),
        WHOLE,
    ),
    "parallel_outputs_added": Mistake(
        "both gates scale F side by side, and the results are added",
        (
            "What does the second gate get in your module?",
            "Print out / F: can it be larger than 1?",
            "Chain them: F' from F, then F'' from F'.",
        ),
        ORDER,
    ),
    "no_spatial_gate": Mistake(
        "there is no spatial gate: all places of a channel are scaled alike",
        (
            "Print out / F for one channel. Does it differ from place to place?",
            "Is the spatial gate computed, and is its result used?",
            "After the channel gate, scale F' by M_s(F').",
        ),
        WHOLE,
    ),
    "spatial_before_sigmoid": Mistake(
        "the two gates meet before the sigmoid: each needs a sigmoid of its own",
        (
            "How many sigmoids has CBAM?",
            "Print out / F: is it the product of a channel gate and a spatial gate?",
            "Close each gate with its own sigmoid, and scale the map twice.",
        ),
        WHOLE,
    ),
    "residual_inside": Mistake(
        "F is added to the result inside the module",
        (
            "Can your module switch a channel off?",
            "Print out / F: it never falls below 1 if F is added.",
            "The addition belongs to the residual block around the module.",
        ),
        WHOLE,
    ),
    "channels_not_pooled": Mistake(
        "two channels of F enter the convolution, not the mean and the maximum of all channels",
        (
            "Which values can the spatial gate not see in your code?",
            "Change the third channel of F: do the gates change?",
            "Take the mean and the maximum over axis 1: they read every channel.",
        ),
        WHERE,
    ),
    "kernel_not_square": Mistake(
        "the kernel of the spatial gate is not square",
        (
            "How many rows, and how many columns has your kernel?",
            "Change one place of F and print which gates change: above, below, left and right.",
            "The paper's kernel is 7x7, with the same padding on all sides.",
        ),
        WHERE,
    ),
    "gates_maximum": Mistake(
        "the larger of the two gates scales F, not both one after the other",
        (
            "What is F'' if only one of the gates is 0?",
            "Print out / F at a few places, and the two gates beside it.",
            "Scale F by the channel gate, then the result by the spatial gate.",
        ),
        WHOLE,
    ),
}
