"""What pictures are drawn with: a scene of shapes and texts, its fonts, and its pixels or SVG."""
