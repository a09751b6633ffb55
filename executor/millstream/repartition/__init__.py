"""The durable log between two stages: rows of one key, from whichever shard they come, in one shard of the next stage.

A shard of the earlier stage writes, with each of its commits, one *entry*: for every shard of the next stage the
*segments* that hold its rows, and how far event time has got.  Segments are stored before the commit, the entry is
created after it; so whoever reads entries reads committed rows only, each once.

    repartition/<stage>/index/<upstream shard>/<commit>
    repartition/<stage>/segments/<upstream shard>/<commit>-<epoch>-<partition>-<n>-<hash>.arrow
"""
