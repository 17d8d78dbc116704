"""Write and read whole objects of a Zarr array as encoded chunks: shards, and single chunks.

Chunks come in encoded and go out encoded; nothing is decoded here. Called by the
writers of pyramids, which encode chunk by chunk and so never hold a shard, and by
whoever packs encoded chunks into shards. The format is ``sharding_indexed`` of the
Zarr v3 specification: chunks in any order, then an index of (offset, nbytes) for
each chunk in C order, both 2**64 - 1 for an empty one, and its CRC-32C.
"""
