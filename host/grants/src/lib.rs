//! Capabilities, policies and the decisions they lead to: pure, no runtime
