"""Objects with boxes, as in the book's seventh part.

1. `boxes`: two ways to write one, IoU and CIoU. `boxed_images`: images with boxes. `boxed_defects`: computed ones.
2. `letterboxing`, `label_files`, `reading_boxes`, `boards`: photographs with boxes, from files.
3. `yolo`: the network and its three places for attention; `drawing_network`: its picture. `decoding`: from raw numbers
   to boxes. `loss`: who has to find what. `changes`: random changes that keep boxes right.
4. `detecting`: what is found. `average_precision`: how well. `train`: `fit_detector`. `detectors`: a trained one
   (`shipped/`).
5. `darknet_file`, `port_names`: weights of other programs.
6. `explaining_boxes`, `drawing_boxes`: why this box?
"""
