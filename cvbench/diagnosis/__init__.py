"""`cvbench doctor`: what this machine has and lacks, one file a subject. Imports no torch; a child process does."""
