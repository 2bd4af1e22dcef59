"""The known mistakes of maps, in words: Grad-CAM of given activations and gradients, and end to end."""

from cbam_lite.practice.answer import Mistake
from cbam_lite.practice.words_end_to_end import END_TO_END

EQUATION = "book/gradcam.html#the-equation"
FIVE = "book/gradcam.html#five-methods-one-picture-at-the-last-block"
WRONG = "book/gradcam.html#nine-things-that-go-wrong"
BELOW = "book/gradcam.html#when-the-activation-goes-below-0"

OF_A_AND_G: dict[str, Mistake] = {
    "no_mean_of_gradients": Mistake(
        "gradient and activation are multiplied place by place: that is HiResCAM, not Grad-CAM",
        (
            "How many numbers is the weight of one channel?",
            "Print the shape of your weights: (B, C, 1, 1) is wanted.",
            "Take the mean of G over both places before you multiply by A.",
        ),
        FIVE,
    ),
    "layer_cam": Mistake(
        "positive gradients and activations are multiplied place by place: that is LayerCAM, not Grad-CAM",
        (
            "Does the equation cut the gradient off at 0?",
            "Print the shape of your weights: (B, C, 1, 1) is wanted.",
            "No ReLU on G; take its mean over the places, then multiply by A.",
        ),
        FIVE,
    ),
    "relu_before_sum": Mistake(
        "the ReLU comes before the channels are added up",
        (
            "Which comes first in the equation, the sum over k or the ReLU?",
            "Compare one value by hand: two channels with w_k A_k = 3 and -2 give 1, not 3.",
            "Add up w_k A_k over the channels first, then apply the ReLU once, to the sum.",
        ),
        EQUATION,
    ),
    "relu_on_weights": Mistake(
        "the weights are cut off at 0, so channels that speak against the class are left out",
        (
            "What does a negative w_k say about its channel?",
            "Print the smallest weight: it should be negative here.",
            "Keep the weights as they are; the only ReLU is around the sum.",
        ),
        EQUATION,
    ),
    "relu_on_gradients": Mistake(
        "the gradients are cut off at 0 before their mean is taken",
        (
            "Is there a ReLU inside the mean of the equation?",
            "Compare your weights with G.mean over the places, with its negative values.",
            "Take the mean of all of G; the only ReLU is around the sum.",
        ),
        EQUATION,
    ),
    "relu_on_activations": Mistake(
        "the activations are cut off at 0",
        (
            "Does the layer end with a ReLU? Not every layer does.",
            "Print the smallest value of A: it is negative here, and it counts.",
            "Use A as it is; the only ReLU is around the sum.",
        ),
        BELOW,
    ),
    "activations_only": Mistake(
        "the gradients are not used: the map shows where the layer is active, for no class",
        (
            "Does your map change if G changes?",
            "Call it with G and with 2 - G: the maps must differ.",
            "Multiply each channel of A by the mean of its gradient before the sum.",
        ),
        EQUATION,
    ),
    "gradients_only": Mistake(
        "the activations are not used: the map shows where the gradient is large",
        (
            "Does your map change if A changes?",
            "Call it with A and with 2 - A: the maps must differ.",
            "The gradients give one weight per channel; the places come from A.",
        ),
        EQUATION,
    ),
    "arguments_swapped": Mistake(
        "A and G are exchanged: the gradients are weighed by mean activations",
        (
            "Of which of the two is the mean taken?",
            "Print the order of your parameters: (A, G) is expected.",
            "w_k is the mean of G_k; it multiplies A_k.",
        ),
        EQUATION,
    ),
    "absolute_weights": Mistake(
        "the weights have lost their sign, by an absolute value or a square",
        (
            "What does a negative w_k say about its channel?",
            "Print your weights beside G.mean over the places.",
            "No abs and no square: the weight is the plain mean of G_k.",
        ),
        EQUATION,
    ),
    "absolute_value": Mistake(
        "an absolute value is taken where negative values should be kept, or cut off at 0",
        (
            "What does a negative value of the map say: for the class, or against it?",
            "Look for abs, or for a square, on the map and on what it is made from.",
            "Use a ReLU, max(x, 0), in place of the absolute value.",
        ),
        EQUATION,
    ),
    "sign_flipped": Mistake(
        "the sign is wrong: the map is high where it should be low",
        (
            "Where does a minus come in: a loss, a descent, a colour map turned over?",
            "Compare the place of your largest value with that of the smallest one.",
            "Explain the logit, which should rise, not a loss, which should fall.",
        ),
        EQUATION,
    ),
    "max_for_mean": Mistake(
        "a channel's weight is the largest of its gradients, not their mean",
        (
            "How does the equation get from h times w gradients to one weight?",
            "Compare your weights with G.mean over the places.",
            "Replace max by mean.",
        ),
        EQUATION,
    ),
    "max_over_channels": Mistake(
        "the largest channel is taken at each place, in place of the sum of all",
        (
            "How does the equation get from C maps to one?",
            "Compare one place by hand: add up w_k A_k over k.",
            "Replace the max over the channels by a sum.",
        ),
        EQUATION,
    ),
    "one_channel": Mistake(
        "the map is made of one channel only",
        (
            "How many channels does your map depend on?",
            "Change another channel of A: the map must change.",
            "Add up w_k A_k over all channels k.",
        ),
        EQUATION,
    ),
    "weights_normalised": Mistake(
        "the weights are bent before they are used, by a softmax, a sigmoid or their own range",
        (
            "Is there anything between the mean of G and the product in the equation?",
            "Print the sum of your weights, and the smallest: are there negative ones?",
            "Use the means as they are; normalise, if at all, the finished map.",
        ),
        EQUATION,
    ),
    "mean_over_batch": Mistake(
        "the mean goes over the images of the batch, too: they share one map or one set of weights",
        (
            "How many sets of weights do you have, and how many images?",
            "Print the shape of the weights: (B, C, 1, 1) is wanted, with the B.",
            "Take the mean over (2, 3) only; mean over (0, 2, 3) is right for one image alone.",
        ),
        WRONG,
    ),
    "first_image_only": Mistake(
        "only the first image of the batch gets a map of its own",
        (
            "Is there an index 0 where the batch should be?",
            "Compare the maps of a batch with those of each image alone.",
            "Add up one logit per image, y[range(B), classes].sum(), and keep the first axis to the end.",
        ),
        WRONG,
    ),
    "one_scale_for_batch": Mistake(
        "the maps of a batch are divided by one common maximum",
        (
            "Does the map of an image change if another image comes into the batch?",
            "Print the maximum of each map, after you have divided.",
            "Take the minimum and the maximum over the places of each image, not over everything.",
        ),
        WRONG,
    ),
    "batch_mixed": Mistake(
        "the map of an image depends on the other images of the batch",
        (
            "Which step runs over the first axis?",
            "Compare the map of an image alone with that in a batch of three.",
            "Every mean, maximum and sum names its axes, and the first is never among them.",
        ),
        WRONG,
    ),
    "wrong_axes": Mistake(
        "height, width and channels are confused",
        (
            "Which axes are the places of (B, C, H, W), and which is the channel?",
            "Print the shapes of the weights and of the map: (B, C, 1, 1) and (B, H, W).",
            "The mean of G goes over both axes of places, (-2, -1), the sum over the channels. OpenCV wants (W, H).",
        ),
        EQUATION,
    ),
    "channels_kept": Mistake(
        "the channels are not added up: there are still C maps for each image",
        (
            "How does the equation get from C maps to one?",
            "Print the shape of the map: the axis of the channels should be gone.",
            "Sum w_k A_k over the axis of the channels.",
        ),
        EQUATION,
    ),
    "grad_cam_plus_plus": Mistake(
        "the weights are those of Grad-CAM++, not of Grad-CAM",
        (
            "Which of the two methods is asked for?",
            "Look for squares or cubes of G: Grad-CAM has none.",
            "The weight is the plain mean of G over the places.",
        ),
        FIVE,
    ),
    "xgrad_cam": Mistake(
        "the weights depend on the activations, as in XGrad-CAM",
        (
            "What is the mean of the equation taken of?",
            "Compare your weights with G.mean over the places.",
            "A comes in only once, after the weights are done.",
        ),
        FIVE,
    ),
    "not_centred": Mistake(
        "the mean of each channel is subtracted from the activations",
        (
            "Is there anything but A_k behind the weight in the equation?",
            "Print the mean over the places of what you multiply by the weights.",
            "Use A as it is.",
        ),
        EQUATION,
    ),
    "weights_not_used": Mistake(
        "the map is the same at all places: the weights are added up without the activations",
        (
            "Where does the map get its places from?",
            "Print the smallest and the largest value of one map.",
            "Multiply each channel of A by its weight, then add up the channels.",
        ),
        EQUATION,
    ),
    "nan": Mistake(
        "something is divided by zero, or a logarithm or a root is taken of a negative number",
        (
            "Which line divides, and by what?",
            "Print the denominator.",
            "Add a small number such as 1e-8 to the denominator, or leave the division out.",
        ),
        WRONG,
    ),
}

MISTAKES: dict[str, Mistake] = {**OF_A_AND_G, **END_TO_END}
