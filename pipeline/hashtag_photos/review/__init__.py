"""People look at a sample: the page on which they label it (session.py, server.py, page/), and the labels and pictures
from and to other tools (exchange.py)."""
