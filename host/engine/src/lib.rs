//! Dispatcher, scheduler and unit state machine: runs a plan and tells what happens
