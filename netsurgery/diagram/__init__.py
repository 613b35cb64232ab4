"""A net as a picture: boxes and edges, laid out, and written as SVG, PNG, HTML, Mermaid or DOT."""
