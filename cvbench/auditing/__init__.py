"""`cvbench check`: records that somebody else made, as a repository's tests look at them before they stand on a board.

Everything in such a record is a stranger's: nothing is imported that it names, nothing unpickled, nothing read without
a limit.
"""
