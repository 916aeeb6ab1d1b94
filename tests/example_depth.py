# %% [markdown]
# # Depth and the opening
# Nine runs: three depths of the book, three seeds; the 19th and the first ten minutes of the 20th. Stopped in the
# middle, the sweep goes on from there when its cell is run again. Start it in the checkout, since it reads `configs/`.

# %%
from sim.api import load, run, sweep

# %% One run: a dict of numbers, and a DataFrame for each table.
one = run("configs/nov20.toml", seed=11, depth_musd=2.0, **{"session.end": "09:40"})
print(one.summary["top_of_book_musd"], one.frames["bars"][["close", "spread_ticks"]].tail())

# %% A sweep: a DataFrame with a row a run. Points of one seed share their draws.
runs = sweep("configs/sweeps/opening.toml", workers=2)
by_depth = runs[runs["status"] == "done"].groupby("depth_musd")[["top_of_book_musd", "spread_ticks"]].mean()
print(by_depth)

# %% Whatever was made before can be read again, a sweep or a run.
again = load("runs/sweep-opening")
bars = load(one.folder).frames["bars"]

# %% The same seeds in a deeper book: what depth alone changed, seed by seed.
closes = again.pivot(index="seed", columns="depth_musd", values="close")
print(closes[11.5] - closes[2.0])
