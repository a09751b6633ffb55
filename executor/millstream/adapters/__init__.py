"""The worker's edges: the Mesos agent, the machine's clock and its resource accounting.

Belongs here: code that talks to something outside the process and fills a shape of `ports`.  Does not belong here:
decisions; sources, sinks and stores, which have packages of their own.
"""
