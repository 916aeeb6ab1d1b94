"""The report on a sweep: outcomes over the factors, with medians and intervals, and the runs that failed."""
def is_sweep(folder): return False
