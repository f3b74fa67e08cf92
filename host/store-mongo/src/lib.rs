//! Statuses, outputs and job variables shared through MongoDB, behind the files of the job directory.
//!
//! Files come first: every change is in the job directory before it is queued for MongoDB, and what a file says wins
//! over a document. MongoDB is what lets another runner go on with a job, or this one after its disk was lost
//! (`spec/workdir.md` §5.6). [`MongoRecords`] writes behind, in batches, the latest state of each document only
//! (`spec/defects.md` 38); [`MongoRecords::flush`] waits for it where somebody else is about to look.
//!
//! The driver runs on a thread of its own, so that calls may block anywhere without keeping it from its work.

mod collections;
mod database;
mod document;
mod error;
mod queue;
mod records;
mod settings;
mod writer;

pub use database::Database;
pub use error::MongoError;
pub use records::MongoRecords;
pub use settings::MongoSettings;
pub use writer::Warn;
