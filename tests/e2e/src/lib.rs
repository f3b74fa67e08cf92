//! End-to-end tests of the autoexec binary
