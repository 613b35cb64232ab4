"""A page that shows class maps in a browser: one file, with all its data, style and script.

`selection.py` says which classes of which cells are kept, `codes.py` how their values become whole
numbers of steps and then text, `record.py` what else the page knows of a map, `document.py` how
the file is put together. The page itself is `page.html`, `page.css` and the scripts in `script/`.
"""
