"""Documents as pages: one HTML file that can be mailed, with pictures, tables, and the document itself inside.

A page loads nothing, shows and prints without its script, and is made by Jinja2, the extra `html`.
"""
