"""The main job on one machine: real flights, an embedded cluster, a killed worker, and the answer checked.

Belongs here: the demo's data, its feeder, its script and its comparison.  It uses the product through the same doors as
anybody else and adds none.
"""
