"""Your own photographs: from a folder to labelled images, as in the book's last part.

1. `reading`: one file, whatever Pillow reads; `folders`: one folder for each class, with or without masks.
2. `known`: data sets that are known by name.
"""
