"""How to begin: three hints for each kind of implementation, for a reader with an empty cell."""

START: dict[str, tuple[str, str, str]] = {
    "convolution": (
        "How many rows and columns has the output? Make a tensor of zeros of that size first.",
        "Three loops: kernels, rows, columns. Which part of the image lies under the kernel at each place?",
        "The number at a place is the sum of one kernel, all its channels, times that part of the image.",
    ),
    "SE": (
        "Two layers in `__init__`: C channels to C / r, and back. Three steps in `forward`: squeeze, excite, scale.",
        "Write the shapes beside the lines: (B, C, H, W) to (B, C), to (B, C / r), to (B, C).",
        "Average over axes 2 and 3, first layer, ReLU, second layer, sigmoid; two axes of size 1; multiply the map.",
    ),
    "ECA": (
        "In `__init__` one layer only: a convolution along a line, with one channel in and one out.",
        "The channels are the line: which shape does `nn.Conv1d` want, and where do the C averages stand in it?",
        "Averages (B, 1, C), convolution with padding k // 2, sigmoid; shape (B, C, 1, 1); multiply.",
    ),
    "channel attention": (
        "In `__init__` one MLP of two layers. In `forward` it is called twice: on which two descriptors?",
        "Both descriptors are (B, C): the average and the maximum over axes 2 and 3. What is added, and when?",
        "Add what the MLP gives for both, then one sigmoid; two axes of size 1; multiply the map.",
    ),
    "spatial attention": (
        "In `__init__` one convolution: how many maps go in, how many come out?",
        "The average and the maximum over axis 1, with that axis kept, stacked along it: (B, 2, H, W).",
        "A k x k convolution from 2 to 1 with padding k // 2, then a sigmoid; this gate multiplies the map.",
    ),
    "CBAM": (
        "Two gates, one after the other. Write them as two classes that give the scaled map.",
        "Which map does the second gate look at: F, or what the first gate has left of it?",
        "F' is the channel gate times F; the spatial gate reads F' and multiplies F'.",
    ),
    "residual block": (
        "A branch of two convolutions, each with a norm, and a shortcut past them. Where do they meet?",
        "`attention(out_channels)` makes a module. It gets what the last norm gives, before the addition.",
        "Where stride or channels change, the shortcut has a 1 x 1 convolution and a norm; else it is the input.",
    ),
    "identity insertion": (
        "Walk through the modules of the model. How do you know a residual block?",
        "Behind which norm does attention stand, and how many channels has it?",
        "Put a Sequential of that norm and a new attention(channels) in place of the norm, in each block.",
    ),
    "Grad-CAM map": (
        "Each channel of A gets one weight. From what is it made?",
        "The weight is the mean of G over the places; which axes are these?",
        "Add the channels of A, each times its weight; cut off at 0 after the sum.",
    ),
    "Grad-CAM": (
        "You need two things of the layer: its output, and the gradient of a score by it. How do you get hold of both?",
        "The score is a logit of each image, not a probability and not a loss. In which mode is the model?",
        "A forward hook keeps A; `torch.autograd.grad` of the sum of the chosen logits by A gives G; remove the hook.",
    ),
    "pointing": (
        "Which place of the map is asked for?",
        "Find the place of the largest value, as a row and a column.",
        "Look that place up in the mask.",
    ),
    "energy": (
        "It is a share: what is above the line, and what below?",
        "Negative values count as 0, in both sums.",
        "The sum of the positive values inside the mask, divided by that of all positive values.",
    ),
    "mask IoU": (
        "Which two areas does the name speak of?",
        "Places in both masks, and places in at least one.",
        "Count the first, count the second, divide.",
    ),
    "box IoU": (
        "Where does the overlap of two boxes begin and end, along x?",
        "It begins at the larger of the two left edges. Where does it end, and what if that is further left?",
        "A width or a height below 0 is 0. The union is both areas less the overlap.",
    ),
    "average precision": (
        "In which order are the detections looked at?",
        "After each: how many were right so far, as a share of those so far, and as a share of all that is there?",
        "Make precision fall only, from the right to the left, and add its height times each step of recall.",
    ),
}
