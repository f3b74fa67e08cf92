//! HTTP requests of checks (spec/tools-behaviour/03-checks.md): `METHOD,URL[,BODY]` as jobs write them, in one session that
//! keeps cookies and follows redirects.

mod cookies;
mod request;
mod sequence;
mod session;

pub use request::{FORM, JSON, Malformed, Request, shown};
pub use sequence::{Trouble, requests, run};
pub use session::{Answer, Session};
