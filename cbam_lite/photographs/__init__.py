"""Your own photographs: from a folder to a report, as in the book's last part.

1. `reading`: one file, whatever Pillow reads; `masks`: what a mask file marks.
2. `finding`: the files of a folder; `pairing`: which mask belongs to which image; `loading`: from files to data.
3. `folders`: one folder for each class, with or without masks; `tables`: a row for each image; `annotations`: what
   COCO, labelme and Pascal VOC write; `known`: data sets that are known by name.
4. `describing`: what is in the data, and what looks wrong, before anything is trained on it.
5. `intervals`: a number and how sure it is; `detecting`: defects against good images; `calibrating`: are
   probabilities true? `measuring`: all numbers of a classifier.
6. `maps`: where did it look, laid over the photograph? `warning`: what to know first, in words; `markup`, `pages`: a
   page of one file; `report`: all of that.
7. `resuming`, `predicting`: a folder that nobody labelled; `tiling`: large photographs; `exporting`: ONNX.
8. `runs`: a training that a folder remembers; `command_line`: all of this without a line of code.
"""
