"""Every sentence, number and age that people read, on the page and everywhere else.

Pure functions from the model to text: no markup, no I/O.
"""
