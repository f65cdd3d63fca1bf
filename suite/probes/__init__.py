"""What is measured, one family of metrics per file. Probes read tensors they are given; they draw no random
number and change no weight.
"""
