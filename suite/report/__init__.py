"""What people look at: terminal, figures, pages, index. Knows finished studies; computes no verdict and trains nothing."""
