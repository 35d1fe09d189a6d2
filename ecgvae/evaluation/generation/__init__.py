"""How good generated ECG is: its distances from real ECG, beside the distances between sets of real ECG."""
