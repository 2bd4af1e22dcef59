"""The known mistakes of IoU and average precision, in words."""

from cbam_lite.practice.answer import Mistake

TO_BOX = "book/localization.html#from-heat-map-to-box"
AGREE = "book/detection.html#how-well-do-two-boxes-agree"
GOOD = "book/detection.html#how-good-is-it"

IOU: dict[str, Mistake] = {
    "intersection_over_smaller": Mistake(
        "the intersection is divided by the smaller area",
        (
            "What is the denominator of IoU?",
            "Try one inside the other: the answer is not 1.",
            "Union = first + second - intersection.",
        ),
        AGREE,
    ),
    "intersection_over_larger": Mistake(
        "the intersection is divided by the larger area",
        (
            "What is the denominator of IoU?",
            "Is the larger of the two their union?",
            "Union = first + second - intersection.",
        ),
        AGREE,
    ),
    "intersection_over_one": Mistake(
        "the intersection is divided by one of the two areas: that is a precision or a recall",
        (
            "Does your answer change if the two are exchanged? It must not.",
            "Try one inside the other, both ways round.",
            "Union = first + second - intersection.",
        ),
        AGREE,
    ),
    "dice": Mistake(
        "this is the Dice score, 2 I / (a + b), not IoU",
        (
            "Is there a factor 2 in IoU?",
            "Two halves that overlap in one half of each: IoU is 1/3, Dice is 1/2.",
            "Divide I by a + b - I.",
        ),
        AGREE,
    ),
    "union_without_intersection_removed": Mistake(
        "the intersection counts twice in the union",
        (
            "What is the IoU of a thing with itself?",
            "Print intersection and union for two equal ones.",
            "Union = first + second - intersection.",
        ),
        AGREE,
    ),
    "intersection_removed_twice": Mistake(
        "the intersection is removed twice from the union",
        (
            "What is the union of a thing with itself?",
            "Print intersection and union for two equal ones.",
            "Union = first + second - intersection, once.",
        ),
        AGREE,
    ),
    "union_over_intersection": Mistake(
        "the fraction is upside down",
        ("Can IoU be larger than 1?", "Print both parts.", "Intersection above, union below."),
        AGREE,
    ),
    "one_area_twice": Mistake(
        "the area of one of the two is used for both",
        (
            "Does your answer change if the two are exchanged? It must not.",
            "Print both areas.",
            "A copied line still reads the first: use the second there.",
        ),
        AGREE,
    ),
    "distance": Mistake(
        "this is 1 - IoU, a distance or a loss",
        ("What is the IoU of a thing with itself?", "Try two equal ones.", "Leave the 1 - out."),
        AGREE,
    ),
    "smoothed": Mistake(
        "1 is added to the fraction to smooth it",
        (
            "What do two things without anything in common get?",
            "Print intersection and union: are they whole numbers that you can count?",
            "A guard against 0 / 0 is 1e-9, not 1.",
        ),
        AGREE,
    ),
    "intersection_only": Mistake(
        "the intersection is not divided by the union",
        ("Can IoU be larger than 1?", "Print what you return.", "Divide by first + second - intersection."),
        AGREE,
    ),
    "accuracy": Mistake(
        "the share of equal pixels is computed: the background counts as agreement",
        (
            "What do two small masks without a common pixel get?",
            "Try two masks of one pixel each.",
            "Count pixels that are in both, and those that are in one or both.",
        ),
        TO_BOX,
    ),
    "background_counted": Mistake(
        "the background has an IoU here, too",
        (
            "Whose IoU is asked for?",
            "Try two masks without a common pixel: the answer is 0.",
            "Use the masks, not their opposites, and no mean over two classes.",
        ),
        TO_BOX,
    ),
    "divided_by_image": Mistake(
        "the intersection is divided by all pixels of the image",
        (
            "What is the IoU of a mask with itself?",
            "Print the denominator.",
            "Divide by the pixels that are in one mask or both.",
        ),
        TO_BOX,
    ),
    "inclusive_pixels": Mistake(
        "1 is added to widths and heights, as if the last pixel belonged to the box",
        (
            "How wide is a box from 3 to 10 here: 7 or 8?",
            "Print the area of the box 0, 0, 1, 1.",
            "Width = x2 - x1, without + 1.",
        ),
        AGREE,
    ),
    "no_clamp": Mistake(
        "the sides of the intersection are not cut off at 0 one by one",
        (
            "What if the boxes do not touch?",
            "Print width and height of the intersection for boxes apart in x and in y: two negatives.",
            "Take max(0, width) and max(0, height) before the product.",
        ),
        AGREE,
    ),
    "centre_format": Mistake(
        "the boxes are read as centre and size",
        (
            "What are the four numbers of a box here?",
            "Print width and height of the box 2, 3, 12, 9: 10 and 6.",
            "They are x1, y1, x2, y2: width = x2 - x1.",
        ),
        AGREE,
    ),
    "corner_and_size": Mistake(
        "the boxes are read as corner and size",
        (
            "What are the four numbers of a box here?",
            "Print width and height of the box 2, 3, 12, 9: 10 and 6.",
            "They are x1, y1, x2, y2: width = x2 - x1.",
        ),
        AGREE,
    ),
    "corners_in_another_order": Mistake(
        "the boxes are read as x1, x2, y1, y2",
        (
            "In which order do the four numbers come?",
            "Print width and height of the box 2, 3, 12, 9: 10 and 6.",
            "They are x1, y1, x2, y2.",
        ),
        AGREE,
    ),
    "max_for_min": Mistake(
        "minimum and maximum are exchanged: the box around both is taken for the intersection",
        (
            "Where does the intersection begin: at the smaller or the larger x1?",
            "Draw two boxes that overlap, and mark its left side.",
            "It goes from max(x1) to min(x2), and likewise in y.",
        ),
        AGREE,
    ),
    "enclosing_box": Mistake(
        "the denominator is the box around both, not the union",
        (
            "Does the box around both hold places of neither?",
            "Print your denominator and first + second - intersection.",
            "Union = first + second - intersection.",
        ),
        AGREE,
    ),
    "generalised_iou": Mistake(
        "this is the generalised IoU, which can be negative",
        (
            "What do two boxes far apart get?",
            "Print your answer for them: IoU is 0.",
            "Return intersection / union, and subtract nothing.",
        ),
        AGREE,
    ),
    "whole_pixels": Mistake(
        "coordinates are rounded to whole pixels",
        (
            "May a box end between two pixels?",
            "Try a box from 1.3 to 7.8: its width is 6.5.",
            "Leave int, round and // out.",
        ),
        AGREE,
    ),
}

AVERAGE_PRECISION: dict[str, Mistake] = {
    "not_sorted": Mistake(
        "the detections are not sorted by confidence",
        (
            "Does your answer depend on the order of the input?",
            "Print the confidences in the order in which you count.",
            "Sort `correct` by falling confidence before the cumulative sums.",
        ),
        GOOD,
    ),
    "sorted_ascending": Mistake(
        "the least confident detection comes first",
        (
            "Who is counted first?",
            "Print the confidences in the order in which you count.",
            "argsort goes up: sort by -confidence, or with descending=True.",
        ),
        GOOD,
    ),
    "no_envelope": Mistake(
        "the teeth of the curve are not filled: detection takes the best precision at this recall or above",
        (
            "May precision rise again with recall? It does in your curve.",
            "Print the precisions: 1, 0.5, 0.67 should become 1, 0.67, 0.67.",
            "Take a running maximum of the precisions from the end to the start.",
        ),
        GOOD,
    ),
    "envelope_backwards": Mistake(
        "the running maximum goes from the start to the end",
        (
            "Which precisions may stand in at a recall: those below it, or those above?",
            "Print the filled curve: it must never rise.",
            "Turn the precisions round, take the running maximum, turn them back.",
        ),
        GOOD,
    ),
    "divided_by_detections": Mistake(
        "recall is divided by the number of detections",
        (
            "Recall is a share of what?",
            "Print the last recall when half of the objects are found.",
            "Divide the correct ones so far by the number of true objects.",
        ),
        GOOD,
    ),
    "divided_by_hits": Mistake(
        "recall is divided by the number of correct detections: objects that nobody found are forgotten",
        (
            "What is recall at the end, if an object is never found?",
            "Try it with truths = 5 and truths = 50.",
            "Divide by the number of true objects, which is given.",
        ),
        GOOD,
    ),
    "trapezoid": Mistake(
        "the area is made of trapezoids under the saw",
        (
            "Is the curve a line or a staircase between two detections?",
            "Draw the curve for correct, wrong, correct.",
            "Each step of recall is multiplied by the filled precision at its end.",
        ),
        GOOD,
    ),
    "no_start": Mistake(
        "the area from recall 0 to the first recall is missing",
        (
            "Where does the curve begin?",
            "Print the sum of your steps of recall: it is the last recall.",
            "Put a recall of 0 before the first one.",
        ),
        GOOD,
    ),
    "steps_shifted": Mistake(
        "each precision is multiplied by the step of recall behind it",
        (
            "Which step of recall belongs to a detection: the one that it makes, or the next one?",
            "Print the sum of your steps: it is the last recall, not more.",
            "Step k is R_k - R_k-1, with R_0 = 0, and goes with P_k.",
        ),
        GOOD,
    ),
    "wrong_points": Mistake(
        "the curve is read at other points than 0, 0.1, ..., 1, or divided by another number",
        (
            "How many points are there from 0 to 1, both ends included?",
            "Print the points and their number.",
            "11 points, linspace(0, 1, 11), divided by 11; COCO takes 101.",
        ),
        GOOD,
    ),
    "strictly_above": Mistake(
        "recalls above r are asked for, where r itself counts, too",
        (
            "If recall reaches exactly 1, what is the best precision at recall 1?",
            "Try detections that find everything.",
            "Use R >= r in place of R > r.",
        ),
        GOOD,
    ),
    "linear_between_points": Mistake(
        "precision is interpolated along straight lines",
        (
            "Is the curve a line or a staircase between two detections?",
            "Print the precision between two recalls: one of the two, or something between?",
            "At r, take the best precision among the detections with a recall of r or more; 0 if there is none.",
        ),
        GOOD,
    ),
    "mean_over_detections": Mistake(
        "precisions are averaged over the detections",
        (
            "Over what goes the mean: detections, or recall?",
            "Add ten wrong detections of low confidence: the answer hardly changes.",
            "Weigh each precision with its step of recall; a wrong detection makes none.",
        ),
        GOOD,
    ),
    "one_point": Mistake(
        "one point of the curve is returned, not the area under it",
        (
            "Which part of the curve does your number depend on?",
            "Print the curve.",
            "Add up precision times step of recall along the whole curve.",
        ),
        GOOD,
    ),
    "precision_and_recall_swapped": Mistake(
        "precision and recall are exchanged",
        (
            "Which of the two goes along the axis?",
            "Print both: recall never falls.",
            "Add up precision times step of recall.",
        ),
        GOOD,
    ),
}
