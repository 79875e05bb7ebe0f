"""The arithmetic of proof: programs of elementary operations, run on numbers that know their error.

`program` records a function once; machines run the record on plain numbers, on balls, on balls
rounded once, on numbers of twice the precision, on python-flint's balls, or on sets of samples.
Nothing here knows of networks, losses or Hessians.
"""
