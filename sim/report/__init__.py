"""The report: one HTML file on a run or on a sweep, which needs nothing but itself.

`run` and `sweep` write the text and choose the tables, `day` brings a run's tables onto one grid of times, `figures`
draws them, `html` makes elements and the page, `pdf` prints it.
"""
