"""Known mistakes of the insertion of attention into a network, in words."""

from cbam_lite.practice.answer import Mistake

WHY = "book/networks.html#why-before-the-addition"
INTO = "book/networks.html#into-a-pretrained-network"

MISTAKES: dict[str, Mistake] = {
    "not_a_function": Mistake(
        "this is no function (model, attention)",
        (
            "What did you hand to `check`: the function, or what it gave?",
            "Print type(...) of what you hand in: it should be a function.",
            "Hand in the name without brackets: check(my_insertion, like=...).",
        ),
        INTO,
    ),
    "not_identity": Mistake(
        "the network computes something else, though attention lets every map through unchanged",
        (
            "What happens to a map between the last norm and the addition, beside attention?",
            "Compare the output of the network before and after, with nn.Identity as attention. Then block by block.",
            "Replace the last norm by nn.Sequential(norm, attention(channels)) and change nothing else.",
        ),
        INTO,
    ),
    "weights_changed": Mistake(
        "weights or running statistics of the network are not what they were",
        (
            "Which of the old weights does your function touch, or make anew?",
            "Compare state_dict() before and after.",
            "Keep the old modules and put attention beside them. Run nothing in training mode.",
        ),
        INTO,
    ),
    "one_shared_module": Mistake(
        "several blocks share one module: each needs its own weights",
        (
            "How often is attention(channels) called?",
            "Print id(...) of the module of each block.",
            "Call attention(channels) inside the loop, once for each block.",
        ),
        INTO,
    ),
    "after_addition": Mistake(
        "attention stands after the addition: it scales the shortcut, too",
        (
            "Is what you replace the block, or its last norm?",
            "Print the smallest number of the map that attention gets: after the block's ReLU it is 0.",
            "Go into each block and put attention behind its last norm, bn2 or bn3.",
        ),
        WHY,
    ),
    "only_some_blocks": Mistake(
        "not every residual block has attention",
        (
            "How many residual blocks does the network have, how many times is attention called?",
            "Print the name of each block that gets one.",
            "Go through list(model.modules()): every module with bn2 is a block, with or without a downsample.",
        ),
        INTO,
    ),
    "not_last_norm": Mistake(
        "attention stands in the middle of the branch, not behind the last norm",
        (
            "Which is the last norm of a bottleneck?",
            "Print the names of the modules of one block, in order.",
            "Take bn3 where there is one, else bn2.",
        ),
        INTO,
    ),
    "outside_blocks": Mistake(
        "attention stands outside the residual blocks, too",
        (
            "Behind which modules is attention put?",
            "Print the name of each module that gets one.",
            "Only the last norm of each residual block; the first norm of the network, bn1, gets none.",
        ),
        INTO,
    ),
    "mode_changed": Mistake(
        "the network is in another mode than before",
        (
            "Does your function call eval() or train()?",
            "Print model.training before and after.",
            "Put the new modules into the mode of the old ones; leave the network's mode as it is.",
        ),
        INTO,
    ),
    "dtype_lost": Mistake(
        "the network's weights have another dtype than before",
        (
            "Does your function call float(), half() or to()?",
            "Print the dtype of the first parameter before and after.",
            "Convert the new modules to the dtype of the old ones, not the other way round.",
        ),
        INTO,
    ),
    "frozen": Mistake(
        "the new weights cannot be trained",
        (
            "Which parameters have requires_grad=True?",
            "Print requires_grad of the parameters of one attention.",
            "Freeze the old weights, if you like, before you insert; leave the new ones free.",
        ),
        INTO,
    ),
    "not_registered": Mistake(
        "the attention is no part of the network: its weights would be neither trained nor saved",
        (
            "Does parameters() list the weights of the attention?",
            "Print the names in named_modules(). Is the attention among them?",
            "Set it as an attribute of a module, or put it into an nn.Sequential; not into a list or a lambda alone. "
            "Make it in __init__, not in forward.",
        ),
        INTO,
    ),
}
