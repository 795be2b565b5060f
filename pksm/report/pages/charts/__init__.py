"""Charts as SVG: each file makes one kind, from numbers and names, and knows no document."""
