//! What goes wrong, and what a call may then say: one row for each kind of fault.

use blobcp::devstore::{Fault, Reset};

/// Of which requests a kind can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Of all.
    Nothing,
    /// Of those that send a body.
    Sends,
    /// Of those that are answered with one.
    Answers,
}

/// How a kind is brought about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By a rule of the service.
    Rule,
    /// The same, and the client waits until it loses patience.
    Silence,
    /// When the request has come, whoever connects is refused until the call has ended.
    Outage,
}

/// A kind of fault.
pub struct Kind {
    pub name: &'static str,
    pub needs: Needs,
    pub way: Way,
    /// What is done to the requests that the rule hits.
    pub does: fn(&mut Fault),
    /// All requests of the operation are hit, and not one.
    pub all: bool,
    /// The errnos that a call may end with. None: whoever calls does not notice.
    pub says: &'static [i32],
}

/// No usable answer came, whatever was tried.
const SILENCE: &[i32] = &[libc::EIO, libc::ETIMEDOUT];
const DENIED: &[i32] = &[libc::EACCES];
/// It is not there: now, or any more; of an attribute ENODATA.
const ABSENT: &[i32] = &[libc::ENOENT, libc::ESTALE, libc::ENODATA];
const BUSY: &[i32] = &[libc::EBUSY];
/// It is not as it was thought to be.
const CHANGED: &[i32] = &[libc::ESTALE, libc::EEXIST, libc::EBUSY];

const NEVER_MS: u64 = 600_000;

fn refuse(fault: &mut Fault, status: u16, code: &str) {
    fault.status = Some(status);
    fault.code = Some(code.to_owned());
}

macro_rules! kinds {
    ($($name:literal, $needs:ident, $way:ident, $once:expr, $always:expr, $does:expr;)*) => {
        /// Each once, and each for as long as the call lasts.
        pub const KINDS: &[Kind] = &[$(
            Kind { name: concat!($name, ", once"), needs: Needs::$needs, way: Way::$way, does: $does, all: false, says: $once },
            Kind { name: $name, needs: Needs::$needs, way: Way::$way, does: $does, all: true, says: $always },
        )*];
    };
}

kinds! {
    "500", Nothing, Rule, &[], SILENCE, |f| refuse(f, 500, "InternalError");
    "500 in time-out", Nothing, Rule, &[], SILENCE, |f| refuse(f, 500, "OperationTimedOut");
    "500 after the effect", Nothing, Rule, &[], SILENCE, |f| { refuse(f, 500, "InternalError"); f.after = true; };
    "503", Nothing, Rule, &[], SILENCE, |f| refuse(f, 503, "ServerBusy");
    "503 with Retry-After", Nothing, Rule, &[], SILENCE, |f| { refuse(f, 503, "ServerBusy"); f.retry_after = Some(1); };
    "429", Nothing, Rule, &[], SILENCE, |f| refuse(f, 429, "TooManyRequests");
    "429 with Retry-After", Nothing, Rule, &[], SILENCE, |f| { refuse(f, 429, "TooManyRequests"); f.retry_after = Some(1); };
    "reset before the effect", Nothing, Rule, &[], SILENCE, |f| f.reset = Some(Reset::Before);
    "answer lost", Nothing, Rule, &[], SILENCE, |f| f.reset = Some(Reset::After);
    "reset in the body sent", Sends, Rule, &[], SILENCE, |f| f.reset = Some(Reset::Within);
    "damage in the body sent", Sends, Rule, &[], SILENCE, |f| refuse(f, 400, "Crc64Mismatch");
    "answer cut short", Answers, Rule, &[], SILENCE, |f| f.truncate_body = Some(0);
    "answer damaged", Answers, Rule, &[], SILENCE, |f| f.corrupt_body = Some(0);
    "answer late", Nothing, Rule, &[], &[], |f| f.answer_delay_ms = 60;
    "silence", Nothing, Silence, &[], SILENCE, |f| f.delay_ms = NEVER_MS;
    "silence in the answer", Answers, Silence, &[], SILENCE, |f| f.stall_body_ms = Some(NEVER_MS);
    "401", Nothing, Rule, DENIED, DENIED, |f| refuse(f, 401, "NoAuthenticationInformation");
    "403", Nothing, Rule, DENIED, DENIED, |f| refuse(f, 403, "AuthorizationFailure");
    "404", Nothing, Rule, ABSENT, ABSENT, |f| refuse(f, 404, "BlobNotFound");
    "409", Nothing, Rule, BUSY, BUSY, |f| refuse(f, 409, "ContainerBeingDeleted");
    "412", Nothing, Rule, CHANGED, CHANGED, |f| refuse(f, 412, "ConditionNotMet");
}

/// What no rule of the service can bring about.
pub const OUTAGE: Kind = Kind {
    name: "connections refused for a while",
    needs: Needs::Nothing,
    way: Way::Outage,
    does: |fault| fault.reset = Some(Reset::Before),
    all: false,
    says: SILENCE,
};

impl Kind {
    /// The rule for requests of an operation, of which so many pass first.
    pub fn of(&self, operation: &str, skip: u64) -> Fault {
        let mut fault = Fault { skip, count: if self.all { u64::MAX } else { 1 }, ..Fault::on(operation) };
        (self.does)(&mut fault);
        fault
    }

    /// A second try is enough, or none is needed: whoever calls does not notice.
    pub fn must_succeed(&self) -> bool {
        self.says.is_empty()
    }
}
