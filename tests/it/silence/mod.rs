//! A service that is away, silent or slow: each call ends, what is to be stored waits for a while, and when it is back, so is
//! everything else.

use std::time::{Duration, Instant};

use blobcp::store;

use crate::common::outage::{Line, Outage};
use crate::common::*;

mod away;
mod calls;
mod storing;

/// The time that a request has in these tests, unless they say otherwise.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A mount of a world over a line that can be cut. Nothing that it heard is believed for long.
struct Cut {
    world: World,
    line: Outage,
    mount: Mount,
}

impl Cut {
    fn new(timeout: Duration) -> Self {
        Self::with(timeout, Duration::from_millis(1))
    }

    fn with(timeout: Duration, attr_ttl: Duration) -> Self {
        let world = logged();
        let line = Outage::of(&world);
        let http = store::Options { timeout, ..Default::default() };
        let mount = world.mounted_through(line.port, &Setup { http, attr_ttl, ..Default::default() });
        Self { world, line, mount }
    }

    /// Runs a shell command in `one/box`.
    fn start(&self, command: &str) -> Running {
        // Not in the mount, which may not be entered while the service is away.
        start_in("/".as_ref(), &format!("m={}; {command}", self.mount.here().display()))
    }

    fn warnings(&self) -> String {
        attribute(self.mount.root(), "warnings").unwrap_or_default()
    }

    /// Waits until the mount has noticed that the service is away.
    fn noticed(&self) {
        eventually("the breaker", || self.warnings().contains("is away"));
    }
}
