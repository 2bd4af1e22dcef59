"""Known mistakes of residual blocks with attention, in words."""

from cbam_lite.practice import words_inserted
from cbam_lite.practice.answer import Mistake

BLOCK = "book/networks.html#the-block-before-and-after"
WHY = "book/networks.html#why-before-the-addition"
AROUND = "book/networks.html#the-network-around-it"

MISTAKES: dict[str, Mistake] = {
    # how the block is handed in
    "not_a_class": Mistake(
        "a class is expected, not a block that is built already",
        (
            "What did you hand to `check`: the class, or one block?",
            "Print type(...) of what you hand in.",
            "Hand in the name alone: check(MyBlock, ...), not check(MyBlock(64, 64, 1, CBAM), ...).",
        ),
        BLOCK,
    ),
    "not_a_module": Mistake(
        "what comes back is of the wrong kind",
        (
            "What does the last line return?",
            "Print the type of what comes back.",
            "A block's forward returns a tensor; a factory returns an nn.Module; an insertion returns the network.",
        ),
        BLOCK,
    ),
    "no_attention_parameter": Mistake(
        "the block cannot be given an attention",
        (
            "Where does the block say which attention it has?",
            "Print inspect.signature(MyBlock).",
            "Add a parameter `attention`, a function channels -> module, and write self.attention = "
            "attention(out_channels).",
        ),
        BLOCK,
    ),
    "no_size_parameter": Mistake(
        "the block cannot be given its channels and its stride",
        (
            "A block may have other channels at the end than at the beginning, and half the size. Where is that said?",
            "Print inspect.signature(MyBlock).",
            "Make it Block(in_channels, out_channels, stride, attention).",
        ),
        BLOCK,
    ),
    "attention_not_made": Mistake(
        "attention is called with a map, before there is a module",
        (
            "What is `attention`: a module, or a function that makes one?",
            "Print what self.attention is, after __init__.",
            "In __init__: self.attention = attention(out_channels). In forward: self.attention(F).",
        ),
        BLOCK,
    ),
    # where attention stands
    "attention_after_addition": Mistake(
        "attention stands after the addition: it scales the shortcut, too",
        (
            "Which map should attention scale: the branch alone, or the sum?",
            "Let attention give zeros. What should come out of the block, what does?",
            "Call attention with the output of the last norm, then add the shortcut, then the ReLU.",
        ),
        WHY,
    ),
    "attention_on_shortcut": Mistake(
        "attention stands on the shortcut",
        (
            "The block has two ways from x to the addition. On which one does attention stand?",
            "Let attention give zeros. Does x still come through?",
            "Attention scales what the last norm gives; the shortcut stays as it is.",
        ),
        WHY,
    ),
    "attention_on_input": Mistake(
        "attention stands in front of the block: it scales x itself",
        (
            "Which map does attention get?",
            "Print the map that attention gets beside x.",
            "Attention comes after the last norm of the branch.",
        ),
        BLOCK,
    ),
    "attention_before_last_norm": Mistake(
        "attention stands before the last norm: the norm undoes part of what it scales",
        (
            "What comes between attention and the addition?",
            "Let attention give the same number everywhere. What should be added to x, what is?",
            "First the last norm, then attention, then the addition.",
        ),
        BLOCK,
    ),
    "attention_after_relu": Mistake(
        "attention stands behind a ReLU in the middle of the branch",
        (
            "How many convolutions follow attention?",
            "Print the smallest number of the map that attention gets.",
            "Attention comes after the last convolution and its norm, just before the addition.",
        ),
        BLOCK,
    ),
    "attention_before_convolution": Mistake(
        "attention stands in the middle of the branch: a convolution follows it",
        (
            "How many convolutions follow attention?",
            "Change one channel of what attention gives: how many channels of the output change?",
            "Attention comes after the last convolution and its norm, just before the addition.",
        ),
        BLOCK,
    ),
    "attention_not_called": Mistake(
        "attention is not used",
        (
            "Where in forward is attention called?",
            "Put a print into the forward of an attention of your own. Does it appear?",
            "In __init__: self.attention = attention(out_channels). In forward: F = self.attention(F).",
        ),
        BLOCK,
    ),
    "attention_unused": Mistake(
        "what attention gives back is thrown away",
        (
            "What happens to the result of attention?",
            "Let attention give zeros. Does the output change?",
            "Write F = self.attention(F): a module does not change its input.",
        ),
        BLOCK,
    ),
    "attention_twice": Mistake(
        "attention is used twice in one block",
        (
            "How often does one block call attention?",
            "Print something in attention's forward and count.",
            "Once: after the last norm, before the addition.",
        ),
        BLOCK,
    ),
    "attention_added": Mistake(
        "the branch is added twice, with attention and without",
        (
            "Which maps are added at the end?",
            "Let attention give zeros. Only relu(x) should come out.",
            "Add the shortcut and attention(F), not F as well.",
        ),
        WHY,
    ),
    "map_times_attention": Mistake(
        "the map is multiplied by what attention gives: attention has scaled it already",
        (
            "What does attention give back: a gate or a scaled map?",
            "Let attention be the identity. The output should be that of a plain block.",
            "Write F = self.attention(F), not F = F * self.attention(F).",
        ),
        BLOCK,
    ),
    "gate_for_map": Mistake(
        "what attention gives is taken for a gate: attention has scaled the map already",
        (
            "What does attention give back: a gate or a scaled map?",
            "Let attention be the identity. The output should be that of a plain block.",
            "Write F = self.attention(F), without a sigmoid and without a product.",
        ),
        BLOCK,
    ),
    "wrong_channels": Mistake(
        "attention is made for another number of channels than its map has",
        (
            "How many channels does the map have at the place where attention stands?",
            "Print the shape of the map just before attention.",
            "It has the channels of the last norm: out_channels, which is norm.num_features.",
        ),
        BLOCK,
    ),
    # the addition
    "no_shortcut": Mistake(
        "x is not added",
        (
            "What makes a block residual?",
            "Let attention give zeros. relu(x) should come out.",
            "Write relu(shortcut(x) + attention(F)).",
        ),
        AROUND,
    ),
    "product_for_sum": Mistake(
        "the branch is multiplied by x: it should be added",
        (
            "Which operation joins the two ways?",
            "Let attention give zeros. relu(x) should come out.",
            "Write + in place of *.",
        ),
        AROUND,
    ),
    "shortcut_subtracted": Mistake(
        "x and the branch are subtracted: they should be added",
        (
            "Which operation joins the two ways?",
            "Let attention give zeros. relu(x) should come out.",
            "Write + in place of -.",
        ),
        AROUND,
    ),
    "no_relu_after_addition": Mistake(
        "the ReLU after the addition is missing",
        (
            "Can the output of the block be negative?",
            "Print the smallest number of the output.",
            "Write relu(shortcut(x) + attention(F)): the ReLU comes last.",
        ),
        BLOCK,
    ),
    "relu_before_addition": Mistake(
        "a ReLU stands before the addition: the branch can then only add, never take away",
        (
            "Can what is added to x be negative?",
            "Print the smallest number of each of the two maps that are added.",
            "No ReLU between the last norm and the addition; one after it.",
        ),
        BLOCK,
    ),
    "relu_on_shortcut": Mistake(
        "a ReLU stands on the shortcut",
        (
            "Does the shortcut let negative numbers through?",
            "Let attention give 1000 everywhere and subtract 1000 from the output. Is the rest linear in x?",
            "The shortcut is x itself, or a 1x1 convolution and a norm. A ReLU with inplace=True on x changes x, too.",
        ),
        AROUND,
    ),
    "norm_on_shortcut": Mistake(
        "a norm stands on the shortcut though nothing changes its shape",
        (
            "What should x meet on its way to the addition, if the shapes agree?",
            "Let attention give zeros. relu(x) should come out.",
            "Use nn.Identity() where in_channels == out_channels and stride == 1.",
        ),
        AROUND,
    ),
    "projection_on_every_shortcut": Mistake(
        "every shortcut has a convolution, also where the shapes agree",
        (
            "When does the shortcut need a convolution?",
            "Let attention give zeros, with in_channels == out_channels and stride 1. relu(x) should come out.",
            "Only if stride != 1 or in_channels != out_channels; else nn.Identity().",
        ),
        AROUND,
    ),
    "no_projection": Mistake(
        "the shortcut does not fit where the block changes the shape",
        (
            "Which shapes have the two maps that are added, if the stride is 2 or the channels change?",
            "Print both shapes for Block(32, 64, 2, attention), then for Block(64, 64, 2, attention).",
            "If stride != 1 or in_channels != out_channels, use a 1x1 convolution with that stride, and a norm.",
        ),
        AROUND,
    ),
    "projection_too_wide": Mistake(
        "the shortcut looks at neighbouring pixels: its convolution is 1x1",
        (
            "Which kernel size does the convolution on the shortcut have?",
            "Print it.",
            "Use a 1x1 convolution with the block's stride and no padding.",
        ),
        AROUND,
    ),
    "wrong_block_shape": Mistake(
        "the output has the wrong shape",
        (
            "Which shape goes in, which comes out?",
            "Print the shape after each step.",
            "A 3x3 convolution needs padding=1 to keep the size; only one convolution of the branch has the stride.",
        ),
        BLOCK,
    ),
    # the branch
    "no_relu_between": Mistake(
        "no ReLU stands between the convolutions of the branch",
        (
            "What is a convolution after a convolution, without a ReLU between them?",
            "Print the smallest number of the map that enters the second convolution.",
            "The branch is conv, norm, ReLU, conv, norm.",
        ),
        BLOCK,
    ),
    "other_activation_in_block": Mistake(
        "another activation than a ReLU stands in the block",
        (
            "Which activation does the block have in the paper?",
            "Print the smallest and the largest number after the activation.",
            "Use nn.ReLU.",
        ),
        BLOCK,
    ),
    "one_convolution": Mistake(
        "the branch has one convolution only",
        (
            "How many convolutions stand between x and the addition?",
            "List the steps from x to the map that attention gets.",
            "Two 3x3 convolutions, or 1x1, 3x3, 1x1 in a bottleneck, each with a norm of its own.",
        ),
        BLOCK,
    ),
    "one_norm_for_two": Mistake(
        "the same norm is used after two convolutions",
        (
            "How many norms does the branch need?",
            "Print how often each norm is called in one forward pass.",
            "Each convolution has a norm of its own: it stores the mean and variance of that map.",
        ),
        BLOCK,
    ),
    "one_convolution_for_two": Mistake(
        "the same convolution is used twice",
        (
            "How many convolutions does the branch need?",
            "Print how often each convolution is called in one forward pass.",
            "Make two, self.conv1 and self.conv2, and call each once.",
        ),
        BLOCK,
    ),
    "norm_missing": Mistake(
        "a norm is missing: each convolution has one",
        (
            "How many convolutions and how many norms does the branch have?",
            "List the steps from x to the map that attention gets.",
            "The branch is conv, norm, ReLU, conv, norm.",
        ),
        BLOCK,
    ),
    "no_last_norm": Mistake(
        "no norm stands after the last convolution",
        (
            "What made the map that attention gets?",
            "In train mode, print mean and spread of each channel of that map, for x and for 3 x.",
            "The branch is conv, norm, ReLU, conv, norm; then attention.",
        ),
        BLOCK,
    ),
    "relu_before_norm": Mistake(
        "the ReLU stands before the norm",
        (
            "In which order do convolution, norm and ReLU come?",
            "Print the smallest number of the map that enters the second convolution: the ReLU makes it 0.",
            "The branch is conv, norm, ReLU, conv, norm.",
        ),
        BLOCK,
    ),
    # what every module must do
    "stride_ignored": Mistake(
        "the stride is not used where it should be",
        (
            "Where in your block does the stride occur?",
            "Print the shape of F and that of the shortcut for stride 2: both have half the rows and columns of x.",
            "One convolution of the branch has the stride, and so has the shortcut.",
        ),
        AROUND,
    ),
    "input_changed": Mistake(
        "the block changes its input: the shortcut then adds something else than x",
        (
            "Is x after the call what it was before?",
            "Keep x.clone() and compare after each line of forward.",
            "No relu_, +=, *= and no inplace=True on x itself; on maps that the block has made they are fine.",
        ),
        AROUND,
    ),
    "not_deterministic": Mistake(
        "the same input gives two different outputs, in evaluation mode",
        (
            "What in your block is random, or remembers the last call?",
            "Call it twice in evaluation mode and compare after each line.",
            "Make all weights in __init__; use nn.Dropout, which eval() switches off.",
        ),
        BLOCK,
    ),
    "detached": Mistake(
        "gradients do not come through: what stands before cannot learn",
        (
            "Which lines stand under no_grad, or use detach() or .data?",
            "After a backward pass, print the gradient of attention's weights and of x.",
            "Take out detach(), .data and torch.no_grad().",
        ),
        BLOCK,
    ),
    **words_inserted.MISTAKES,
}
