"""The page: a run to watch in the browser, without the network.

`server` serves one of two pages: the lab of `app`, or Mesa's own of `plain`. The lab's `settings` are what can be
chosen, an `engine` lets the chosen `world`s pass in a thread and keeps a frame of every bar, `dominoes` adds up who set
off whom, `charts` and `texts` say what a frame shows: pure functions of frames.
"""
