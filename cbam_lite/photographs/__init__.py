"""Your own photographs: from a folder to labelled images, as in the book's last part.

1. `reading`: one file, whatever Pillow reads; `masks`: what a mask file marks.
2. `finding`: the files of a folder; `pairing`: which mask belongs to which image; `loading`: from files to data.
3. `folders`: one folder for each class, with or without masks; `tables`: a row for each image; `annotations`: what
COCO,
   labelme and Pascal VOC write; `known`: data sets that are known by name.
4. `describing`: what is in the data, and what looks wrong, before anything is trained on it.
"""
