//! The public event vocabulary of a run, the journal record format and the final outcome
