"""The known mistakes of scores, in words: pointing and energy; those of `words_overlap` join them."""

from cbam_lite.practice.answer import Mistake
from cbam_lite.practice.words_overlap import AVERAGE_PRECISION, IOU

POINT = "book/localization.html#one-point-the-pointing-game"
WHOLE = "book/localization.html#the-whole-map-energy"

POINTING: dict[str, Mistake] = {
    "axes_swapped": Mistake(
        "rows and columns are exchanged",
        (
            "Which index comes first, the row or the column?",
            "Print row and column of your peak for a map of 2 x 5 with one large value.",
            "argmax counts along rows: row, column = divmod(index, W), and mask[row, column].",
        ),
        POINT,
    ),
    "argmax_of_mask": Mistake(
        "the peak is compared with the first pixel of the mask",
        (
            "What does argmax of a mask give?",
            "Print both indices for a mask of four pixels.",
            "Look the peak of the map up in the mask, mask[row, column].",
        ),
        POINT,
    ),
    "any_overlap": Mistake(
        "any overlap counts as a hit",
        (
            "How many pixels of the map decide?",
            "Try a map with its peak outside the mask and small values inside.",
            "Only the place of the largest value counts.",
        ),
        POINT,
    ),
    "mean_for_peak": Mistake(
        "sums or means decide, not the peak",
        (
            "How many pixels of the map decide?",
            "Try a map with one very large value, inside a mask with small ones.",
            "Only the place of the largest value counts.",
        ),
        POINT,
    ),
    "argmin_for_argmax": Mistake(
        "the smallest value is looked up, not the largest",
        ("Which value is the peak?", "Print the value at the place that you find.", "Use argmax, without a minus."),
        POINT,
    ),
    "answer_inverted": Mistake(
        "hit and miss are exchanged",
        (
            "What is a hit: inside or outside the mask?",
            "Try a mask that is True everywhere: the answer is True.",
            "Return mask[row, column] as it is.",
        ),
        POINT,
    ),
    "box_for_mask": Mistake(
        "the box around the mask is used in place of the mask",
        (
            "Is a pixel in the corner of the box always in the mask?",
            "Try a mask like an L.",
            "Use the mask itself; no minimum or maximum of its rows and columns.",
        ),
        POINT,
    ),
    "near_counts": Mistake(
        "a peak near the mask counts as a hit",
        (
            "How far from the mask may the peak be here?",
            "Try a peak one pixel beside the mask.",
            "Leave the tolerance out, or set it to 0.",
        ),
        POINT,
    ),
    "one_axis": Mistake(
        "only one of the two axes is looked at",
        (
            "How many coordinates have a peak, a width, a height?",
            "Move one of the two along the other axis: the answer must change.",
            "Use the row and the column, or the width and the height.",
        ),
        POINT,
    ),
    "value_for_hit": Mistake(
        "a value of the map, or its place, is returned in place of hit or miss",
        (
            "Which two answers are there?",
            "Print what you return: True or False, 1 or 0, is wanted.",
            "Return the mask at the place of the peak.",
        ),
        POINT,
    ),
    "centroid_for_peak": Mistake(
        "the centre of mass is looked up, not the peak",
        (
            "Which one place does the pointing game ask for?",
            "Compare your place with that of the largest value.",
            "Use argmax, not a weighted mean of places.",
        ),
        POINT,
    ),
}

ENERGY: dict[str, Mistake] = {
    "signed_sum": Mistake(
        "negative values of the map are not cut off",
        (
            "What if the map is negative somewhere?",
            "Print the sum of a map whose values are 3 and -2: only 3 counts.",
            "Apply a ReLU to the map before both sums.",
        ),
        WHOLE,
    ),
    "inverted_share": Mistake(
        "the share outside the mask is computed",
        (
            "Inside or outside: which share is large for a good map?",
            "Try a mask that is True everywhere: the share is 1.",
            "Use the mask, not its opposite.",
        ),
        WHOLE,
    ),
    "divided_by_area": Mistake(
        "the share is divided by the area of the mask, too: that is the lift",
        (
            "Can your share be larger than 1?",
            "Try a uniform map: its share is the area of the mask, not 1.",
            "Divide the sum inside by the sum of the map, and by nothing else.",
        ),
        "book/localization.html#chance-and-ceiling",
    ),
    "mean_not_share": Mistake(
        "means are compared in place of sums",
        (
            "What is the denominator of a share?",
            "Try a uniform map with a small mask, and with a large one.",
            "Divide the sum inside the mask by the sum over the whole map.",
        ),
        WHOLE,
    ),
    "sum_not_share": Mistake(
        "the sum inside the mask is not divided by that of the map",
        (
            "Can your share be larger than 1?",
            "Multiply the map by 50: the share must stay.",
            "Divide by the sum of the whole map.",
        ),
        WHOLE,
    ),
    "divided_by_pixels": Mistake(
        "the sum inside the mask is divided by the number of pixels",
        (
            "What is the whole of which you take a share?",
            "Multiply the map by 50: the share must stay.",
            "Divide by the sum of the whole map.",
        ),
        WHOLE,
    ),
    "divided_by_mask": Mistake(
        "the sum of the map is divided by the pixels of the mask",
        (
            "What is above, and what below the line?",
            "Multiply the map by 50: the share must stay.",
            "Divide the sum inside the mask by the sum of the whole map.",
        ),
        WHOLE,
    ),
    "divided_by_outside": Mistake(
        "the inside is divided by the outside, not by the whole",
        (
            "What is the whole of which you take a share?",
            "Try a mask that is True everywhere: the share is 1.",
            "Divide by the sum of the whole map.",
        ),
        WHOLE,
    ),
    "max_not_sum": Mistake(
        "the largest values are compared in place of the sums",
        (
            "How many pixels of the map count?",
            "Change a small value inside the mask: the share must change.",
            "Use sum in place of max, above and below the line.",
        ),
        WHOLE,
    ),
    "normalised_first": Mistake(
        "the map is normalised first, so its floor is lost",
        (
            "What happens to a map that is 5 everywhere, and 6 in the mask?",
            "Compare the share before and after you normalise.",
            "Score the map as it is; normalise only what you look at.",
        ),
        WHOLE,
    ),
    "softmax_first": Mistake(
        "a softmax over the places comes first",
        (
            "Is there an exponential in the definition?",
            "Multiply the map by 50: the share must stay.",
            "Use the values of the map themselves.",
        ),
        WHOLE,
    ),
    "squares": Mistake(
        "the values are squared",
        (
            "Energy is only a name here: what is added up?",
            "Try a map with the values 1 and 3.",
            "Add up the values, not their squares.",
        ),
        WHOLE,
    ),
    "pixels_counted": Mistake(
        "pixels above a threshold are counted, and their values are lost",
        (
            "Does it matter how large a value is?",
            "Double the values inside the mask: the share must rise.",
            "Add up values, without a threshold.",
        ),
        WHOLE,
    ),
    "area_only": Mistake(
        "only the mask is used, not the map",
        (
            "Does your number change with the map?",
            "Try two maps with one mask.",
            "Multiply the map by the mask before the sum.",
        ),
        WHOLE,
    ),
}

SHARED: dict[str, Mistake] = {
    "absolute_value": Mistake(
        "negative values count as if they were positive",
        (
            "What does a negative value of a map say: for the class, or against it?",
            "Try a map whose most negative value is its largest in size.",
            "Use the values as they are for the peak, and max(x, 0) for a sum; no abs.",
        ),
        WHOLE,
    ),
    "input_changed": Mistake(
        "the input is written into",
        (
            "Which line changes an input in place: *=, sort(), an index on the left, a name that ends in _?",
            "Compare the input before and after the call.",
            "Make a new one, S = S.clamp(min=0), or take a clone() first.",
        ),
        "",
    ),
    "nan": Mistake(
        "0 is divided by 0",
        (
            "Which line divides, and by what?",
            "Print the denominator.",
            "Look for a sum that can be 0 though the answer is known, or for a mask that you made empty.",
        ),
        "",
    ),
    "not_a_number": Mistake(
        "one number is expected",
        (
            "What do you return: a number, or something with a shape?",
            "Print type and shape of what you return.",
            "Add up over all pixels, and return the one number.",
        ),
        "",
    ),
    "constant": Mistake(
        "the answer is the same for all inputs",
        (
            "Does your number depend on the input?",
            "Print what you compute for two inputs.",
            "Look for an early return, an integer division, or a comparison that always holds.",
        ),
        "",
    ),
    "percent": Mistake(
        "the answer is in percent",
        ("Between which numbers lies a share?", "Print the answer for a perfect case: 1.", "Leave the 100 out."),
        "",
    ),
    "rounded": Mistake(
        "the answer is rounded to 0 or 1",
        (
            "What if the true answer is 0.4?",
            "Print the number before and after the division.",
            "Use / in place of //, and no threshold and no bool at the end.",
        ),
        "",
    ),
}

MISTAKES: dict[str, Mistake] = {**POINTING, **ENERGY, **IOU, **AVERAGE_PRECISION, **SHARED}
