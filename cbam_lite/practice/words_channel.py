"""The known mistakes of the channel gates, SE, ECA and CBAM's channel attention, in words."""

from cbam_lite.practice.answer import Mistake

SQUEEZE = "book/squeeze_excitation.html#squeeze-what-does-a-channel-say-about-the-whole-picture"
EXCITE = "book/squeeze_excitation.html#excite-from-averages-to-gates"
WAIST = "book/squeeze_excitation.html#how-narrow-may-the-waist-be"
ECA = "book/squeeze_excitation.html#eca-is-the-waist-needed-at-all"
NEIGHBOURS = "book/squeeze_excitation.html#why-should-neighbouring-channels-mean-anything"
WIDTH = "book/squeeze_excitation.html#how-wide-should-the-kernel-be"
MLP = "book/cbam.html#which-channels-two-descriptors-one-shared-mlp"

MISTAKES: dict[str, Mistake] = {
    "no_relu": Mistake(
        "there is no ReLU between the two layers",
        (
            "What stands between your two layers? Two linear maps in a row are one linear map.",
            "Compare mlp(a) + mlp(-a) with 2 mlp(0): they are equal only without a ReLU.",
            "Put a ReLU after the first layer, before the second.",
        ),
        EXCITE,
    ),
    "other_activation": Mistake(
        "the hidden layer has another activation than the ReLU",
        (
            "Which function stands between your two layers?",
            "Print the hidden units: with a ReLU none is negative, about half are exactly 0.",
            "The papers take the plain ReLU.",
        ),
        EXCITE,
    ),
    "relu_misplaced": Mistake(
        "the ReLU does not stand between the two layers",
        (
            "In which order do your layers and the ReLU come?",
            "Print what enters and leaves each step of the MLP.",
            "The order is: first layer, ReLU, second layer, sigmoid.",
        ),
        EXCITE,
    ),
    "no_reduction": Mistake(
        "the hidden layer is not narrower than the map: r is not used",
        (
            "How many hidden units are there for C channels?",
            "Print the shapes of both weights; one axis should be C, the other C / r.",
            "The first layer maps C to C // r, the second back to C.",
        ),
        WAIST,
    ),
    "reduction_as_units": Mistake(
        "r is taken for the number of hidden units",
        (
            "How many hidden units are there for C = 64 and r = 16?",
            "Print the shape of the first weight: it should be (C / r, C).",
            "The hidden layer has C // r units, not r.",
        ),
        WAIST,
    ),
    "reduction_ignored": Mistake(
        "the hidden layer does not depend on r",
        (
            "Make the module with r = 4 and with r = 2. What changes?",
            "Print the shape of the first weight for both.",
            "Use the parameter r where a number stands now: C // r units.",
        ),
        WAIST,
    ),
    "one_layer": Mistake(
        "there is one layer in place of two with a waist",
        (
            "How many weights has SE, and which shapes?",
            "Count the parameters: 2 C^2 / r, not C^2.",
            "First from C to C // r, a ReLU, then back from C // r to C.",
        ),
        EXCITE,
    ),
    "three_layers": Mistake(
        "the MLP has three layers in place of two",
        (
            "How many weight matrices has the equation?",
            "Print the shapes of your weights.",
            "Leave the middle layer out: C to C / r, then back to C.",
        ),
        EXCITE,
    ),
    "max_for_average": Mistake(
        "the maximum is taken in place of the average",
        (
            "Which descriptor does the equation take?",
            "Set one place of F to 1000. How much does the descriptor change, compared with a mean?",
            "Average each channel over its places.",
        ),
        SQUEEZE,
    ),
    "min_for_max": Mistake(
        "the minimum is taken where the paper has another descriptor",
        (
            "Which place of a channel decides about your descriptor?",
            "Print your descriptor beside F.amax and F.amin over the places.",
            "The descriptors of the paper are the average and the maximum.",
        ),
        MLP,
    ),
    "absolute_maximum": Mistake(
        "the maximum of the absolute values is taken",
        (
            "What is the maximum of a channel whose values are all negative?",
            "Print your descriptor beside F.amax((2, 3)).",
            "Leave the absolute value out: the maximum itself, with its sign.",
        ),
        MLP,
    ),
    "sum_for_mean": Mistake(
        "a sum over the places stands where the average should",
        (
            "What happens to the gates if the picture gets larger?",
            "Put two copies of F side by side: the average stays, a sum doubles.",
            "Divide by the number of places, H times W; or use the mean.",
        ),
        SQUEEZE,
    ),
    "other_pool": Mistake(
        "the descriptor is neither the average nor the maximum",
        (
            "Which number does your module keep of each channel?",
            "Print your descriptor beside F.mean((2, 3)) and F.amax((2, 3)).",
            "Take the descriptors of the equation: the average (SE, ECA), with the maximum in CBAM.",
        ),
        SQUEEZE,
    ),
    "relu_before_pool": Mistake(
        "negative values are cut before the average",
        (
            "What is done to F before its places are averaged?",
            "Compare your descriptor with F.mean((2, 3)) on a map with negative values.",
            "Average F as it is.",
        ),
        SQUEEZE,
    ),
    "one_place": Mistake(
        "one place of the map is read, not all",
        (
            "Change F at another place. Do the gates change?",
            "Print the shape after your pool, and what an index [0, 0] takes of it.",
            "Average over all places, axes 2 and 3.",
        ),
        SQUEEZE,
    ),
    "reads_places": Mistake(
        "the gates depend on where in the map the values stand",
        (
            "Turn F upside down. Why do the gates change?",
            "Look at the pool: does it see all H x W places, each with one weight?",
            "Average over all places, axes 2 and 3; no convolution before the pool.",
        ),
        SQUEEZE,
    ),
    "pool_of_size_1": Mistake(
        "the pool has size 1: it pools nothing",
        (
            "What is the shape after your pool?",
            "Print it: a pool over the whole map leaves (B, C, 1, 1). A kernel of 1 leaves (B, C, H, W).",
            "Pool to an output of size 1 (adaptive), not with a kernel of size 1.",
        ),
        SQUEEZE,
    ),
    "pooled_one_axis": Mistake(
        "one of the two axes of places is pooled, not both",
        (
            "What is the shape after your pool?",
            "Print it: are the rows and the columns gone?",
            "Reduce over both axes of places, 2 and 3.",
        ),
        SQUEEZE,
    ),
    "gates_differ_by_place": Mistake(
        "a channel's gate differs from place to place",
        (
            "How many gates does one channel have, in the equation and in your module?",
            "Print the shape of the gate: (B, C, 1, 1) is one for each channel.",
            "Pool over all places first; what follows sees one number for each channel.",
        ),
        SQUEEZE,
    ),
    "pooled_over_channels": Mistake(
        "the channels are pooled where the places should be",
        (
            "Which axis counts the channels, which two the places?",
            "Print the shape after your pool: (B, C, 1, 1) is what a channel gate reads.",
            "Reduce over axes 2 and 3, not over axis 1.",
        ),
        SQUEEZE,
    ),
    "no_channel_gate": Mistake(
        "all channels have the same gate",
        (
            "Print the gates of one image. Do they differ from channel to channel?",
            "How many outputs has your last layer?",
            "A channel gate has C values for each image, one per channel.",
        ),
        EXCITE,
    ),
    "separate_mlps": Mistake(
        "the two branches have separate MLPs: CBAM shares one",
        (
            "How many weight matrices are there? The equation has W_0 and W_1.",
            "Print the shapes of all parameters: two for one MLP (and its biases), not four.",
            "Make one MLP and call it twice, once for each descriptor.",
        ),
        MLP,
    ),
    "added_before_relu": Mistake(
        "the two descriptors are added before the ReLU, not after the MLP",
        (
            "Where do your two branches meet?",
            "Exchange average and maximum only in part: does the gate depend on more than their sum?",
            "Pass each descriptor through the whole MLP, then add the two results.",
        ),
        MLP,
    ),
    "concatenated_descriptors": Mistake(
        "the two descriptors are concatenated, not passed one by one",
        (
            "How many inputs has your first layer?",
            "Print the shape of its weight: (C / r, C), not (C / r, 2 C).",
            "The same MLP sees C averages, then C maxima; the two results are added.",
        ),
        MLP,
    ),
    "multiplied_descriptors": Mistake(
        "the two branches are multiplied, not added",
        (
            "How do the two branches meet in the equation?",
            "Compare your logits with mlp(a) + mlp(m).",
            "Add them.",
        ),
        MLP,
    ),
    "subtracted_descriptors": Mistake(
        "the two branches are subtracted, not added",
        (
            "Which sign stands between the two branches?",
            "Compare your logits with mlp(a) + mlp(m).",
            "Add them.",
        ),
        MLP,
    ),
    "logits_averaged": Mistake(
        "the results of the two branches are averaged, not added",
        (
            "Is there a mean, or a factor of a half, where the branches meet?",
            "Compare your logits with mlp(a) + mlp(m): which factor is between them?",
            "Add the two results; no mean over the stacked branches.",
        ),
        MLP,
    ),
    "logits_maximum": Mistake(
        "the larger of the two branches is taken, not their sum",
        (
            "How do the two branches meet in the equation?",
            "Compare your logits with mlp(a) + mlp(m).",
            "Add the two results.",
        ),
        MLP,
    ),
    "average_twice": Mistake(
        "both branches read the average",
        (
            "What do your two branches read?",
            "Set one place of F to 1000: the second descriptor should become 1000.",
            "One pool is the average, the other the maximum; look for a copied line.",
        ),
        MLP,
    ),
    "max_twice": Mistake(
        "both branches read the maximum",
        (
            "What do your two branches read?",
            "Print both descriptors: are they equal?",
            "One pool is the average, the other the maximum; look for a copied line.",
        ),
        MLP,
    ),
    "average_only": Mistake(
        "only the average is read: the maximum is missing",
        (
            "How many descriptors has each channel in CBAM?",
            "Set one place of F to a large value and another to its negative: the gates should change.",
            "Add a second branch: the maximum through the same MLP.",
        ),
        MLP,
    ),
    "max_only": Mistake(
        "only the maximum is read: the average is missing",
        (
            "How many descriptors has each channel in CBAM?",
            "Change F at places that are not the maximum: the gates should change.",
            "Add a second branch: the average through the same MLP.",
        ),
        MLP,
    ),
    "maximum_added": Mistake(
        "the maximum is read, too: that is CBAM's channel gate, not this one",
        (
            "Which descriptors does the equation of this module read?",
            "Set one place of F to a large value and another to its negative: the gates must not change.",
            "Leave the branch of the maximum out.",
        ),
        MLP,
    ),
    "extra_pools": Mistake(
        "there are more descriptors than the average and the maximum",
        (
            "How many descriptors has each channel in the paper's best module?",
            "Count the calls of your MLP.",
            "Keep two: the average and the maximum.",
        ),
        MLP,
    ),
    "wrong_axis": Mistake(
        "the 1-D convolution does not run along the channels",
        (
            "Along which axis does your kernel slide? A Conv1d slides along its last one.",
            "Print the shape that enters it: (B, 1, C) slides along C; (B, C, 1) has no room to slide.",
            "One input channel, one output channel, and the C averages as the length.",
        ),
        ECA,
    ),
    "per_channel_kernels": Mistake(
        "each channel has a kernel of its own: ECA shares one",
        (
            "How many weights has ECA's kernel?",
            "Count the parameters: k, whatever C is.",
            "One kernel of k numbers slides over all channels.",
        ),
        NEIGHBOURS,
    ),
    "even_kernel_shift": Mistake(
        "the kernel is even: it has no centre, so the result is shifted or of another size",
        (
            "Which k has your kernel? Has it a middle?",
            "Print k and the size that comes out; with padding k // 2 it stays the same for odd k only.",
            "Round k to an odd number; pad by (k - 1) / 2 on both sides.",
        ),
        WIDTH,
    ),
    "dilated_kernel": Mistake(
        "the kernel is dilated: it leaves neighbours out",
        (
            "Which neighbours does your kernel read, and which does it skip?",
            "Change one channel (or place): which gates change?",
            "Leave dilation at 1.",
        ),
        WIDTH,
    ),
    "circular_padding": Mistake(
        "the padding is circular: the first and the last are neighbours",
        (
            "What does the first output read left of the first input?",
            "Change the last channel (or row). Does the first gate change?",
            "Pad with zeros, the default of torch's convolutions.",
        ),
        NEIGHBOURS,
    ),
    "edge_padding": Mistake(
        "the padding repeats the edge: the papers pad with zeros",
        (
            "What does the first output read left of the first input?",
            "Compare the first and last values with a convolution that pads with zeros.",
            "Use padding with zeros, the default of torch's convolutions.",
        ),
        NEIGHBOURS,
    ),
    "hidden_layer": Mistake(
        "there is a hidden layer: ECA has one convolution and a sigmoid",
        (
            "How many layers stand between the averages and the sigmoid?",
            "Count the parameters: k in all.",
            "Leave the waist and the ReLU out: averages, one 1-D convolution, sigmoid.",
        ),
        ECA,
    ),
    "kernel_of_size_1": Mistake(
        "the kernel has size 1: neighbours are not read",
        (
            "Which k has your kernel?",
            "Change one channel (or place): do its neighbours' gates change?",
            "Take k = 3 or more for ECA, 7 for the spatial gate.",
        ),
        WIDTH,
    ),
}
