"""Bad pictures on purpose: the 15 corruptions of ImageNet-C at 5 severities.

"Benchmarking Neural Network Robustness to Common Corruptions and Perturbations" (Hendrycks and Dietterich,
2019, arXiv:1903.12261). NumPy and Pillow alone: the packages that have them bring 700 MB along.

corrupting   what others call: images, a kind and a severity
severities   the published numbers
noises, blurs, weather, digital
             a function for each kind, by the four groups of the paper
filters      what several kinds are made of
"""
