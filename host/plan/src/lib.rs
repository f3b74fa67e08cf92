//! Parameters, nodes and earlier status become an immutable plan: what will run, what is skipped and why
