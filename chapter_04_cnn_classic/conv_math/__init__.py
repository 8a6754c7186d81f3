"""The parts of demo_conv_math.py: what is measured (arithmetic, equivariance, cost, kernels), and
how it is drawn (cells, drawings, theory_figures, animation, figures) and tabulated (results)."""
