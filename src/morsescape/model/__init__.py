"""A stranger's model, loss and data as one pure function of a vector, with nothing assumed of them.

What the function takes for granted is read off the recorded program or probed; what fails is
refused by name.
"""
