"""The known mistakes of Grad-CAM end to end, in words: what is explained, and what is left behind."""

from cbam_lite.practice.answer import Mistake

EQUATION = "book/gradcam.html#the-equation"
LINES = "book/gradcam.html#twenty-lines"
WHAT = "book/gradcam.html#what-is-explained-and-where"
WRONG = "book/gradcam.html#nine-things-that-go-wrong"

END_TO_END: dict[str, Mistake] = {
    "softmax_score": Mistake(
        "the softmax, or its logarithm, is explained in place of the logit: the other classes come into the map",
        (
            "Of which number do you take the gradient?",
            "Print the sum of the numbers over the classes: if it is 1, these are no logits.",
            "Take the output of the model as it is, before any softmax.",
        ),
        WHAT,
    ),
    "loss_for_logit": Mistake(
        "the loss is explained in place of the logit: the sign is turned, and the other classes come in",
        (
            "Should the number that you explain rise or fall where the class is seen?",
            "Print the number: is it the logit of the class?",
            "Take y[range(B), classes].sum(), not the cross-entropy.",
        ),
        WHAT,
    ),
    "no_class": Mistake(
        "the class that was asked for is not used",
        (
            "Does your map change if you ask for another class?",
            "Ask for class 0 and for class 3, and compare the maps.",
            "Pick the logit of the class, y[range(B), classes].sum(), before you take the gradient.",
        ),
        WHAT,
    ),
    "wrong_class": Mistake(
        "the logit of another class is explained, or those of several",
        (
            "Which entries of the (B, K) logits do you pick?",
            "Print the picked logits: one for each image is wanted, its own class.",
            "y[:, classes] takes all classes for all images; y[range(B), classes] takes one for each.",
        ),
        WHAT,
    ),
    "train_mode": Mistake(
        "the model runs in train mode: batch norms use the batch in place of their statistics",
        (
            "In which mode is a model while it is trained, and which does an explanation want?",
            "Print model.training inside your function.",
            "Call model.eval() before the forward pass, and put the mode back afterwards.",
        ),
        WRONG,
    ),
    "mode_left": Mistake(
        "the model is left in evaluation mode, though it came in train mode",
        (
            "What happens if training goes on after your function?",
            "Print model.training before and after the call.",
            "Keep was = model.training at the start, and end with model.train(was).",
        ),
        WRONG,
    ),
    "hooks_left": Mistake(
        "hooks stay on the model after the call",
        (
            "What happens to the model on the second call?",
            "Print len(layer._forward_hooks) before and after the call.",
            "Keep the handle of register_forward_hook, and call handle.remove() in a finally.",
        ),
        WRONG,
    ),
    "model_changed": Mistake(
        "the model is not what it was: weights, running statistics or requires_grad have changed",
        (
            "Which line writes into the model? A forward pass in train mode does, too.",
            "Compare model.state_dict() and requires_grad before and after the call.",
            "Run it in evaluation mode, and put back whatever you switch.",
        ),
        WRONG,
    ),
    "gradients_left": Mistake(
        "the weights hold gradients after the call, and the next step of training would use them",
        (
            "What does backward() fill, besides the gradient that you want?",
            "Print next(model.parameters()).grad after the call.",
            "torch.autograd.grad(score, A) gives the one gradient and leaves .grad alone.",
        ),
        WRONG,
    ),
    "gradients_accumulated": Mistake(
        "gradients or activations of an earlier call come into the next one",
        (
            "What is kept between two calls?",
            "Call it twice with different images, and compare with a fresh model.",
            "torch.autograd.grad gives a fresh gradient; .grad adds up until it is set to None.",
        ),
        WRONG,
    ),
    "input_gradient": Mistake(
        "the gradient with respect to the image is shown: a saliency map, not Grad-CAM",
        (
            "With respect to what is the gradient taken?",
            "Print the shape of your gradient: the layer's channels are wanted, not 3.",
            "Catch the layer's output A, and take the gradient of the logit with respect to it.",
        ),
        EQUATION,
    ),
    "wrong_layer": Mistake(
        "the map is made from another layer than the one that was asked for",
        (
            "Do you catch the output of the layer, or what goes in?",
            "Print the shape of the activation that you catch.",
            "Put the hook on the layer that is passed in, and keep its output.",
        ),
        LINES,
    ),
    "all_zero": Mistake(
        "the map is zero everywhere",
        (
            "Which step makes everything zero?",
            "Print A, G and the weights: which of them is zero?",
            "Is the gradient taken with respect to the tensor that the rest of the network really used?",
        ),
        WRONG,
    ),
    "wrong_shape": Mistake(
        "what comes back has another shape than it should have",
        (
            "Compare the shape that came back with the right one, above.",
            "Print the shape after each step: which one drops or keeps an axis?",
            "Name the axes in every mean and sum, and avoid squeeze() without an axis.",
        ),
        LINES,
    ),
    "input_changed": Mistake(
        "the input is written into",
        (
            "Which line changes a tensor in place: *=, +=, an index on the left, a name that ends in _?",
            "Compare the input before and after the call.",
            "Write y = x * w in place of x *= w, or take a clone() first.",
        ),
        LINES,
    ),
}

END_TO_END["log_softmax_score"] = END_TO_END["softmax_score"]
