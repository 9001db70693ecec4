"""What is asked of runs: the register of claims, the instruments, the planner, the figures."""
