//! How fast an endpoint may be sent to, and may send.
//!
//! [`LimitSpec`] is what people and runtimes ask for, [`Limit`] what is held to. [`Rate`] and [`Size`] read what people
//! write: `10M`, `1.5 Gbit/s`; `256k`, `1 MiB`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::invalid::Invalid;

/// Slowest and fastest rate in bits per second: what Kubernetes takes for its annotations.
const RATE_MIN: u64 = 1_000;
const RATE_MAX: u64 = 1_000_000_000_000_000;
/// Largest burst in bytes: the kernel counts them by 32 bits, and what is twice as large overflows there.
const BURST_MAX: u64 = 1 << 30;
/// Bytes of an Ethernet header with a VLAN tag, which the kernel counts with each packet.
const HEADER_BYTES: u64 = 18;
/// Bytes of two packets of the largest size that the kernel passes on as one and parts at last (`GSO_LEGACY_MAX_SIZE`):
/// fewer, and it would have to part each one before it may pass.
const BURST_LEAST: u64 = 2 * 65_536;
/// Bursts are given back so many times a second: what a kernel's slowest clock (HZ) allows.
const REFILLS_PER_S: u64 = 100;

/// A limit in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Limit {
    /// Bits per second.
    pub rate: u64,
    /// Bytes that may go at once after a pause.
    pub burst: u32,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, burst {}", Rate(self.rate), Size(self.burst.into()))
    }
}

/// The limits of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Limits {
    /// Of what is sent to the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Limit>,
    /// Of what the container sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Limit>,
}

impl Limits {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A limit as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitSpec {
    /// Bits per second, 1000 and more; 0 lifts the limit.
    pub rate: u64,
    /// Bytes that may go at once after a pause; what the rate needs if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
}

/// What a limit's parts are called where it is asked for.
#[derive(Debug, Clone, Copy)]
pub struct LimitFields<'a> {
    /// Whose limit it is, such as `endpoint default/web`.
    pub object: &'a str,
    /// The field of the rate.
    pub rate: &'a str,
    /// The field of the burst.
    pub burst: &'a str,
}

impl LimitSpec {
    /// The limit that is meant for a link of `mtu` bytes; `None` if it is to be lifted.
    pub fn resolve(&self, mtu: u32, fields: LimitFields<'_>) -> Result<Option<Limit>, Invalid> {
        let invalid = |field: &str, value: u64, remedy: String| Invalid {
            object: fields.object.to_owned(),
            field: field.to_owned(),
            value: value.to_string(),
            remedy,
        };
        if self.rate == 0 {
            return Ok(None);
        }
        if !(RATE_MIN..=RATE_MAX).contains(&self.rate) {
            let remedy = format!("write {RATE_MIN} to {RATE_MAX} bits per second, or 0 for no limit");
            return Err(invalid(fields.rate, self.rate, remedy));
        }
        let burst = self.burst.unwrap_or_else(|| usual_burst(self.rate));
        let least = u64::from(mtu) + HEADER_BYTES;
        match u32::try_from(burst) {
            Ok(bytes) if (least..=BURST_MAX).contains(&burst) => Ok(Some(Limit { rate: self.rate, burst: bytes })),
            _ => {
                let remedy = format!("write {least} (a packet) to {BURST_MAX} bytes, or leave it out");
                Err(invalid(fields.burst, burst, remedy))
            }
        }
    }
}

/// The burst that a rate needs to be reached.
fn usual_burst(rate: u64) -> u64 {
    (rate / 8 / REFILLS_PER_S).clamp(BURST_LEAST, BURST_MAX)
}

/// Bits per second, as people write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(pub u64);

/// Bytes, as people write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// Factors of rates, the largest first. Of ten only, as all that has to do with lines.
const RATE_UNITS: [(&str, u64); 4] = [("T", 1_000_000_000_000), ("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)];
/// Factors of sizes: those of two first, which are what bursts are shown in.
const SIZE_UNITS: [(&str, u64); 6] =
    [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10), ("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)];
/// What may stand behind a rate's factor. Not with a capital, which would mean bytes.
const RATE_TAILS: [&str; 6] = ["bit/s", "bits/s", "bit", "bits", "bps", "b/s"];

/// A text that is no rate or size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: {remedy}")]
pub struct QuantityError {
    text: String,
    what: &'static str,
    remedy: &'static str,
}

impl FromStr for Rate {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let refused = || {
            let remedy = "write bits per second such as 10M, 500k, 1.5Gbit/s, or 0 for no limit";
            QuantityError { text: text.to_owned(), what: "rate", remedy }
        };
        let (number, unit) = split(text);
        let bare = RATE_TAILS.iter().find_map(|tail| unit.strip_suffix(tail)).unwrap_or(unit);
        quantity(number, bare, &RATE_UNITS).map(Rate).ok_or_else(refused)
    }
}

impl FromStr for Size {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let refused = || {
            let remedy = "write bytes such as 64k, 1MiB or 131072";
            QuantityError { text: text.to_owned(), what: "size", remedy }
        };
        let (number, unit) = split(text);
        quantity(number, unit.strip_suffix('B').unwrap_or(unit), &SIZE_UNITS).map(Size).ok_or_else(refused)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0, &RATE_UNITS, "bit/s")
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0, &SIZE_UNITS, "B")
    }
}

/// With the largest factor that leaves a whole number.
fn show(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)], tail: &str) -> fmt::Result {
    let whole = units.iter().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor));
    let (unit, factor) = whole.copied().unwrap_or(("", 1));
    write!(f, "{} {unit}{tail}", value / factor)
}

/// A number and what is behind it.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// `number` times what `unit` means; nothing if that is not whole, or too much.
fn quantity(number: &str, unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    let factor = match units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
        Some((_, factor)) => *factor,
        None if unit.is_empty() => 1,
        None => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = !whole.is_empty() && (fraction.is_empty() != number.contains('.'));
    let scale = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let parts = part.checked_mul(factor)?;
    let value = whole.parse::<u64>().ok()?.checked_mul(factor)?.checked_add(parts / scale)?;
    (is_number && parts.is_multiple_of(scale)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: LimitFields<'_> = LimitFields { object: "endpoint x", rate: "ingress.rate", burst: "ingress.burst" };

    #[test]
    fn rates_and_sizes_read_as_they_are_written() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..10_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Often a round number, as people's are.
            let value = (seed >> (seed % 60)) / [1, 1_000, 1_024, 1_000_000][round % 4]
                * [1, 1_000, 1_024, 1_000_000][round % 4];
            assert_eq!(Rate(value).to_string().parse(), Ok(Rate(value)));
            assert_eq!(Size(value).to_string().parse(), Ok(Size(value)));
        }
    }

    #[test]
    fn rates_come_as_people_write_them() {
        for text in
            ["10M", "10m", "10Mbit", "10mbit/s", "10 Mbit/s", "10000k", "10000000", "0.01G", "10.0Mbps", "10Mb/s"]
        {
            assert_eq!(text.parse(), Ok(Rate(10_000_000)), "{text}");
        }
        for text in
            ["", "M", "10X", "-1", "10.M", ".5M", "1.2.3M", "10MB/s", "10MiB", "0.5", "1e6", "99999999T", "10 M x", "é"]
        {
            let error = text.parse::<Rate>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("10M"), "{error}");
        }
    }

    #[test]
    fn sizes_come_as_people_write_them() {
        for (text, bytes) in
            [("0", 0), ("64k", 64_000), ("64Ki", 65_536), ("1MiB", 1 << 20), ("1.5 kB", 1_500), ("7B", 7)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["64bit", "B64", "1 Zi", "0.3"] {
            assert!(text.parse::<Size>().unwrap_err().to_string().contains("64k"));
        }
    }

    #[test]
    fn limits_are_complete_and_within_what_the_kernel_holds() {
        let resolve = |rate, burst| LimitSpec { rate, burst }.resolve(1500, FIELDS);
        assert_eq!(resolve(0, Some(1)), Ok(None), "lifted");
        assert_eq!(resolve(10_000_000, None), Ok(Some(Limit { rate: 10_000_000, burst: 131_072 })));
        assert_eq!(resolve(1_000_000_000, None), Ok(Some(Limit { rate: 1_000_000_000, burst: 1_250_000 })));
        assert_eq!(resolve(10_000_000, Some(1518)), Ok(Some(Limit { rate: 10_000_000, burst: 1518 })));
        let refused = |rate, burst| resolve(rate, burst).unwrap_err().to_string();
        assert_eq!(
            refused(999, None),
            "endpoint x: ingress.rate \"999\": write 1000 to 1000000000000000 bits per second, or 0 for no limit"
        );
        assert!(refused(RATE_MAX + 1, None).contains("ingress.rate"));
        for burst in [0, 1517, BURST_MAX + 1, u64::MAX] {
            assert!(refused(1_000_000, Some(burst)).contains("ingress.burst"));
        }
        let mut rate = RATE_MIN;
        while rate <= RATE_MAX {
            assert!(resolve(rate, None).unwrap().is_some(), "{rate} has a burst that is allowed");
            rate = rate * 7 / 3;
        }
    }
}
