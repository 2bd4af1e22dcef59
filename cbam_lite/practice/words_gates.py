"""The known mistakes of gate modules, in words: what every gate must keep, and what closes it.

Those of the channel gates stand in `words_channel`, those of the spatial gate and of CBAM in `words_places`.
"""

from cbam_lite.practice import words_channel, words_places
from cbam_lite.practice.answer import Mistake

CHECK = "book/cbam.html#how-do-i-check-my-own-module"
SQUEEZE = "book/squeeze_excitation.html#squeeze-what-does-a-channel-say-about-the-whole-picture"
EXCITE = "book/squeeze_excitation.html#excite-from-averages-to-gates"
SIGMOID = "book/squeeze_excitation.html#why-is-the-gate-a-sigmoid"
SOFTMAX = "book/squeeze_excitation.html#why-not-a-softmax"

MISTAKES: dict[str, Mistake] = {
    "returns_the_gate": Mistake(
        "the gate comes back, not the map scaled by it",
        (
            "Look at your last line: what does forward return, and where is F in it?",
            "Print what comes back beside F: it has the shape of F, and the signs of F.",
            "The module ends with F times the gate; the gate's axes of size 1 are broadcast.",
        ),
        EXCITE,
    ),
    "wrong_shape": Mistake(
        "what comes back, or the gate inside, does not have the shape that F needs",
        (
            "F is (B, C, H, W). Which shape has your gate when it meets F?",
            "Print gate.shape just before the product. (B, C, 1, 1) and (B, 1, H, W) broadcast, (B, C) does not.",
            "Give a channel gate two axes of size 1 at its end; keep the axis of channels of a spatial gate (keepdim).",
        ),
        EXCITE,
    ),
    "no_return": Mistake(
        "what comes back is not one tensor",
        (
            "What does forward return? Call it, and print the type of what comes back.",
            "Without a return, Python gives None; `return a, b` gives a pair.",
            "The last line of forward returns one tensor: F times the gate.",
        ),
        CHECK,
    ),
    "not_a_module": Mistake(
        "the class is no torch.nn.Module",
        (
            "From which class does yours inherit? Look at the line that begins with `class`.",
            "Print isinstance(thing, nn.Module): only a module has parameters() that an optimiser gets.",
            "Write class Name(nn.Module), call super().__init__() first in __init__, and name the method forward.",
        ),
        CHECK,
    ),
    "dtype_changed": Mistake(
        "the code changes the dtype of F",
        (
            "Run it in float64: module.double()(F.double()). At which line is a tensor float32?",
            "Look for .float(), .half(), .to(torch.float32) in forward, and print .dtype before and after.",
            "Leave the dtype alone: F and the weights have one already, and the result has it, too.",
        ),
        CHECK,
    ),
    "frozen": Mistake(
        "a weight is frozen: it never learns",
        (
            "Print [(name, p.requires_grad) for name, p in module.named_parameters()].",
            "Where is requires_grad set to False, or requires_grad_(False) called?",
            "Leave requires_grad as it is: weights of a new layer have True.",
        ),
        CHECK,
    ),
    "wrong_axes": Mistake(
        "the mean or the maximum runs over the wrong axes",
        (
            "F is (B, C, H, W). Which numbers have the axes of the places?",
            "Print the shape after each pool: which letters of B, C, H, W are left?",
            "Axes count from 0: images 0, channels 1, places 2 and 3. What you reduce over is gone.",
        ),
        SQUEEZE,
    ),
    "multiplied_by_F_twice": Mistake(
        "F is multiplied in twice",
        (
            "How many products with F are there between F and what you return, those in sub-modules counted, too?",
            "Compare the results for F and for 100 F, both large: do they differ by 100, or by 100 x 100?",
            "Does your sub-module give a gate or a map? What returns gate times F is not multiplied by F again.",
        ),
        "book/cbam.html#the-whole-module-in-two-lines",
    ),
    "input_changed": Mistake(
        "the call changes F itself, in place",
        (
            "After the call F has other values. Which line writes into it?",
            "Look for *=, mul_, relu_, inplace=True, or an assignment to F[...].",
            "Make a new tensor: F times the gate, in place of F *= gate.",
        ),
        CHECK,
    ),
    "weights_not_registered": Mistake(
        "weights are not registered as parameters, so no optimiser trains them",
        (
            "Print [name for name, _ in module.named_parameters()]. Which weight is missing?",
            "A tensor, a buffer, or a layer inside a Python list is no parameter of the module.",
            "Wrap tensors in nn.Parameter and lists in nn.ModuleList or nn.Sequential, in __init__.",
        ),
        CHECK,
    ),
    "not_deterministic": Mistake(
        "the same map gives another result each time",
        (
            "What is drawn at random during the call?",
            "Call it twice on one F in eval() mode. Are layers made in forward, with new weights each time?",
            "Make all layers in __init__; give F.dropout its training=self.training.",
        ),
        CHECK,
    ),
    "batch_mixed": Mistake(
        "the images of a batch depend on each other",
        (
            "Compare module(F)[:1] with module(F[:1]). Which step sees more than one image?",
            "Look for a mean, maximum or softmax whose dim includes 0, and for a batch norm that always trains.",
            "Axis 0 counts the images: reduce over axes 2 and 3, or 1, never over 0.",
        ),
        CHECK,
    ),
    "softmax_over_batch": Mistake(
        "a softmax over axis 0 makes the images of a batch compete",
        (
            "Add up the gates of one channel over the batch. What is the sum?",
            "softmax(dim=0) runs over the images. Which function closes the gate in the paper?",
            "Use the sigmoid: each gate for itself, no axis needed.",
        ),
        SOFTMAX,
    ),
    "batch_of_one": Mistake(
        "a batch of one image does not pass",
        (
            "Run it on F of shape (1, C, H, W). Which axis is lost?",
            "squeeze() without an axis removes the batch's axis, too, when that is 1.",
            "Name the axes: flatten(1), or squeeze(-1).squeeze(-1).",
        ),
        CHECK,
    ),
    "view_mixup": Mistake(
        "a reshape or permutation mixes axes up",
        (
            "Follow one number through your reshapes: at which image and channel does it arrive?",
            "Fill F with F[b, c] = 100 b + c and print what each view, reshape and permute makes of it.",
            "A view never exchanges axes: from (B, C) to (C, B) needs a transpose, not view(C, B).",
        ),
        CHECK,
    ),
    "square_only": Mistake(
        "only square maps pass: a height is taken for a width",
        (
            "Run it on a map of 9x13. Which line uses one of H and W for both?",
            "Print B, C, H, W after you unpack F.shape, and the shape that you view or pool to.",
            "Unpack all four sizes, and use H for axis 2, W for axis 3; or reduce over the axes (2, 3) without sizes.",
        ),
        SQUEEZE,
    ),
    "fixed_size": Mistake(
        "only maps of one size pass",
        (
            "Which number in your code is the size of a map?",
            "Run it on maps of 9x13 and of 13x9. A pool whose kernel is a number fits one size only.",
            "Average over whatever H and W are: the mean over axes 2 and 3.",
        ),
        SQUEEZE,
    ),
    "detached": Mistake(
        "the gradient does not pass through the gate as it should",
        (
            "Run backward and print the .grad of each weight and of F. Which is None or too small?",
            "Look for no_grad, detach, .data, .item(), NumPy, and for weights with requires_grad=False.",
            "Leave the gate in the graph from F to the output: descriptors, weights, product.",
        ),
        "book/squeeze_excitation.html#how-does-a-gate-learn",
    ),
    "not_scaled": Mistake(
        "the gate is not multiplied with F",
        (
            "Where F is 0, what should come out, and what does?",
            "Print module(torch.zeros_like(F)): a scaled map of zeros is zero.",
            "The last step is a product of F and the gate; nothing is added to it.",
        ),
        EXCITE,
    ),
    "gate_constant": Mistake(
        "the gate does not depend on the map",
        (
            "Print the gates of two different maps. What do they read?",
            "Is F used before the gate at all, and is the result used in what you return?",
            "The gate is computed from pools of F, through the weights.",
        ),
        "book/squeeze_excitation.html#does-the-gate-depend-on-the-picture",
    ),
    "relu_before_sigmoid": Mistake(
        "a ReLU stands before the sigmoid, so no gate falls below 0.5",
        (
            "What is the smallest gate that your module can give?",
            "Print the smallest and the largest gate for F times 1000, then what enters the sigmoid.",
            "The ReLU belongs between the two layers only; what enters the sigmoid must be free to be negative.",
        ),
        SIGMOID,
    ),
    "no_sigmoid": Mistake(
        "nothing bounds the gate: there is no sigmoid",
        (
            "What is the largest gate that your module can give?",
            "Print the gates for F and for 100 F. Do they stay between 0 and 1?",
            "Close the gate with a sigmoid after the last layer, before the product with F.",
        ),
        SIGMOID,
    ),
    "sigmoid_twice": Mistake(
        "the sigmoid is applied twice",
        (
            "Which values can the sigmoid of a number between 0 and 1 take?",
            "Print the smallest and the largest gate for F times 1000: they stay away from 0 and 1.",
            "One sigmoid, at the very end; the hidden layer has a ReLU.",
        ),
        SIGMOID,
    ),
    "sigmoid_per_descriptor": Mistake(
        "each descriptor has a sigmoid of its own",
        (
            "What enters your sigmoid: one descriptor's logits, or the sum of both?",
            "Print the largest gate for F times 1000: the sum of two sigmoids reaches 2.",
            "Add the two results of the MLP first, then take one sigmoid of the sum.",
        ),
        "book/cbam.html#which-channels-two-descriptors-one-shared-mlp",
    ),
    "softmax_over_channels": Mistake(
        "a softmax over the channels makes them compete",
        (
            "Add up the gates of all channels. What is the sum, and should it be?",
            "Can two channels both have a gate of 0.9? Print gate.sum(1).",
            "Close each gate for itself: a sigmoid in place of the softmax.",
        ),
        SOFTMAX,
    ),
    "softmax_over_places": Mistake(
        "a softmax over the places makes them compete",
        (
            "Add up the gate over all places. What is the sum, and should it be?",
            "Can two places both have a gate of 0.9? Print gate.sum((2, 3)).",
            "Close the gate at each place for itself: a sigmoid in place of the softmax.",
        ),
        SOFTMAX,
    ),
    "tanh_gate": Mistake(
        "a tanh closes the gate",
        (
            "Which values can your gate take? Can it be negative?",
            "Print the smallest gate for F times 1000: a tanh reaches -1 and turns signs of F.",
            "The paper closes the gate with a sigmoid, between 0 and 1.",
        ),
        SIGMOID,
    ),
    "other_gate_function": Mistake(
        "the gate is closed by another function than the sigmoid",
        (
            "What does your gate give for a logit of 0, of 5, of -5?",
            "Compare your last function with torch.sigmoid on torch.linspace(-6, 6, 13).",
            "The gate is sigmoid(z), neither scaled nor shifted nor clipped.",
        ),
        SIGMOID,
    ),
    "input_added": Mistake(
        "F is added to the scaled F inside the module",
        (
            "Can your module switch a channel off?",
            "Print out / F: it never falls below 1 if F is added.",
            "The addition belongs to the residual block around the module; return F times the gate only.",
        ),
        "book/cbam.html#the-whole-module-in-two-lines",
    ),
    "relu_on_output": Mistake(
        "a ReLU is applied to the scaled map",
        (
            "What becomes of the negative values of F?",
            "Print out / F where F is negative.",
            "Return the product itself; a gate keeps the signs of F.",
        ),
        EXCITE,
    ),
    "not_finite": Mistake(
        "the result has values that are not numbers",
        (
            "Which step has no result for negative numbers, or divides by zero?",
            "Print tensor.isfinite().all() after each step: which is the first False?",
            "Maps have negative values: no logarithm and no root of them.",
        ),
        CHECK,
    ),
    "wrong_units": Mistake(
        "the hidden layer has another number of units than C / r",
        (
            "How many hidden units are there for C = 64 and r = 16?",
            "Print the shape of the first weight for several C and r.",
            "The hidden layer has C // r units.",
        ),
        "book/squeeze_excitation.html#how-narrow-may-the-waist-be",
    ),
    "tied_weights": Mistake(
        "the second layer uses the weights of the first",
        (
            "How many weights has the MLP, and how many does the equation have?",
            "Count the parameters: 2 C^2 / r.",
            "W_0 and W_1 are two parameters, each with its own values.",
        ),
        EXCITE,
    ),
    "logits_scaled": Mistake(
        "the logits are multiplied by a number before the sigmoid",
        (
            "Is there a factor, a temperature or a mean between the last layer and the sigmoid?",
            "Print what enters the sigmoid beside what leaves the last layer.",
            "The sigmoid sees the logits as they are.",
        ),
        SIGMOID,
    ),
    "channels_permuted": Mistake(
        "the gates stand at other channels than their own",
        (
            "Which channel does the first output of your last layer scale?",
            "Print the logits and the gates, channel by channel.",
            "Output c of the last layer scales channel c: no flip, no shuffle on the way.",
        ),
        EXCITE,
    ),
    "gate_squared": Mistake(
        "the gate is applied twice",
        (
            "How many products with the gate are there between F and what you return?",
            "Print (out / F) beside the gate: is it the gate, or its square?",
            "If a sub-module scales F already, use what it returns; do not multiply F with it again.",
        ),
        "book/cbam.html#the-whole-module-in-two-lines",
    ),
    "gate_inverted": Mistake(
        "the gate is 1 minus the sigmoid",
        (
            "Does a large logit open your gate, or close it?",
            "Print the gate beside the sigmoid of its logits.",
            "Scale by the sigmoid itself.",
        ),
        SIGMOID,
    ),
    **words_channel.MISTAKES,
    **words_places.MISTAKES,
}
