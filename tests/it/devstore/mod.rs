//! The devstore over HTTP, by a client that shares nothing with it.
//!
//! Unit tests beside the code hold the tables (signatures, leases, conditions, paging); here is what only shows on the
//! wire: status codes and headers, the copy engine, faults, limits and the control interface.

mod archive;
mod batch;
mod client;
mod copies;
mod deleted;
mod dfs;
mod facts;
mod faults;
mod immutability;
mod namespace;
mod paths;
mod sources;
mod tags;
mod versions;
mod wire;
