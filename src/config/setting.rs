//! The values that settings take, as text on the command line and as values in the file.

use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use clap::ValueEnum;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::fs::attr::Permissions;
use crate::fs::lease::LeaseSource;
use crate::fs::method::CopyMethod;

/// `yes` or `no`, or `on` or `off`; in the file also `true` and `false` without quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Switch(bool);

impl Switch {
    pub(crate) const YES: Self = Self(true);

    pub(crate) fn is_on(self) -> bool {
        self.0
    }
}

impl FromStr for Switch {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "yes" | "on" | "true" => Ok(Self(true)),
            "no" | "off" | "false" => Ok(Self(false)),
            _ => Err("must be yes or no, or on or off"),
        }
    }
}

/// Permission bits, in octal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode(pub(crate) u32);

impl Mode {
    pub(crate) fn bits(self) -> u32 {
        self.0
    }
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(Self(mode)),
            _ => Err("must be an octal mode such as 644"),
        }
    }
}

/// `500ms`, `1s`, `2m30s`, or a number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "must be a time such as 500ms, 1s or 2m";
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| WRONG)?;
    Duration::try_from(parsed).map_err(|_| WRONG)
}

/// In less, a request that is answered at once may not be done.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);
/// An hour: what takes longer is not waited for in a system call.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);

/// A [`duration`] that a request may take.
pub(super) fn timeout(text: &str) -> Result<Duration, &'static str> {
    match duration(text)? {
        time if (SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(&time) => Ok(time),
        _ => Err("must be a time from 1s to 1h"),
    }
}

/// Less would hold hardly more than what the process itself needs.
const LEAST_MEMORY: u64 = 64 << 20;

/// `512MiB`, `2GB`, or a number of bytes, as a limit of memory in bytes.
pub(super) fn memory(text: &str) -> Result<u64, &'static str> {
    match text.parse::<ByteSize>() {
        Ok(size) if size.as_u64() >= LEAST_MEMORY => Ok(size.as_u64()),
        Ok(_) => Err("must be at least 64MiB"),
        Err(_) => Err("must be a size such as 512MiB or 2GiB"),
    }
}

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        scalar(from)?.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Mode {
    /// Text only: a bare 644 in TOML would be a decimal number, and nobody could tell what was meant.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let wrong = "must be an octal mode in quotes such as \"644\"";
        let text = String::deserialize(from).map_err(|_| D::Error::custom(wrong))?;
        text.parse().map_err(|_| D::Error::custom(wrong))
    }
}

pub(super) fn duration_field<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(&scalar(from)?).map(Some).map_err(D::Error::custom)
}

pub(super) fn timeout_field<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    timeout(&scalar(from)?).map(Some).map_err(D::Error::custom)
}

pub(super) fn memory_field<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    memory(&scalar(from)?).map(Some).map_err(D::Error::custom)
}

pub(super) fn permissions_field<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Permissions>, D::Error> {
    let parsed = Permissions::from_str(&scalar(from)?, false);
    parsed.map(Some).map_err(|_| D::Error::custom("must be \"keep\", \"fixed\" or \"ignore\""))
}

pub(super) fn lease_source_field<'de, D: Deserializer<'de>>(from: D) -> Result<Option<LeaseSource>, D::Error> {
    let parsed = LeaseSource::from_str(&scalar(from)?, false);
    parsed.map(Some).map_err(|_| D::Error::custom("must be \"never\", \"pending\" or \"always\""))
}

pub(super) fn copy_method_field<'de, D: Deserializer<'de>>(from: D) -> Result<Option<CopyMethod>, D::Error> {
    let parsed = CopyMethod::from_str(&scalar(from)?, false);
    parsed.map(Some).map_err(|_| D::Error::custom("must be \"auto\", \"blob\" or \"blocks\""))
}

/// A string, a boolean or a number, as text.
pub(super) fn scalar<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match toml::Value::deserialize(from)? {
        toml::Value::String(text) => Ok(text),
        toml::Value::Boolean(value) => Ok(value.to_string()),
        toml::Value::Integer(value) => Ok(value.to_string()),
        _ => Err(D::Error::custom("must be a single value")),
    }
}
