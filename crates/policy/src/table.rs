//! What holds for the ports of a protocol: rules, laid over each other, and cut into prefixes of ports.

use std::collections::BTreeMap;

use weft_model::{Action, Protocol, Tier};

/// Number of a table. 0 is the one without entries.
pub type TableNumber = u32;

/// Number of a rule, which follows from its policy's name and its place there.
pub type RuleNumber = u32;

/// Protocols whose ports policies can name.
const PROTOCOLS: [Protocol; 3] = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];

/// Some ports: those of one protocol that begin alike, or all of any protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortPrefix {
    /// `None`: any port of any protocol, also of those that have none.
    pub protocol: Option<Protocol>,
    /// The first of them.
    pub port: u16,
    /// How many bits of it count.
    pub bits: u8,
}

impl PortPrefix {
    /// Any port of any protocol.
    pub const ALL: PortPrefix = PortPrefix { protocol: None, port: 0, bits: 0 };
}

/// A rule of one of the tiers in which the first that matches decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ranked {
    /// Its place among all of its set: the lowest goes first.
    pub rank: u32,
    /// What it says.
    pub action: Action,
    /// Which one it is.
    pub rule: RuleNumber,
}

/// What is said about a connection: of each tier, the rule that has its say first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verdict {
    /// The first of the admin tier that matches.
    pub admin: Option<Ranked>,
    /// One of a `NetworkPolicy` that accepts it.
    pub network: Option<RuleNumber>,
    /// The first of the baseline tier that matches.
    pub baseline: Option<Ranked>,
}

/// Verdicts by ports: the longest prefix counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Table(pub BTreeMap<PortPrefix, Verdict>);

impl Table {
    /// What holds for a port.
    pub fn find(&self, protocol: Protocol, port: u16) -> Verdict {
        let found =
            self.0.iter().filter(|(prefix, _)| prefix.has(protocol, port)).max_by_key(|(prefix, _)| prefix.length());
        found.map(|(_, verdict)| *verdict).unwrap_or_default()
    }
}

impl PortPrefix {
    fn has(&self, protocol: Protocol, port: u16) -> bool {
        self.protocol.is_none_or(|own| own == protocol && mask(port, self.bits) == self.port)
    }

    fn length(&self) -> u8 {
        self.protocol.map_or(0, |_| self.bits + 1)
    }
}

/// A rule as it holds for one other end: where it is in order, and to which ports.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) tier: Tier,
    pub(crate) ranked: Ranked,
    /// First and last port of a protocol; any of any protocol if there are none.
    pub(crate) ports: Vec<(Protocol, u16, u16)>,
}

/// Lays rules over each other.
pub(crate) fn flatten(layers: &[Layer]) -> Table {
    let mut table = BTreeMap::new();
    let mut everywhere = Cover::default();
    layers.iter().filter(|layer| layer.ports.is_empty()).for_each(|layer| everywhere.add(layer));
    let of_all = everywhere.verdict();
    if of_all != Verdict::default() {
        table.insert(PortPrefix::ALL, of_all);
    }
    for protocol in PROTOCOLS {
        for (first, last, here) in sweep(layers, protocol, everywhere.clone()) {
            if here != of_all {
                let place = |(port, bits)| (PortPrefix { protocol: Some(protocol), port, bits }, here);
                table.extend(prefixes(first, last).map(place));
            }
        }
    }
    Table(table)
}

/// The rules that cover a port, by tier and rank, and by how many of their ranges each.
#[derive(Debug, Clone, Default)]
struct Cover(BTreeMap<(Tier, u32), (Ranked, u32)>);

impl Cover {
    fn add(&mut self, layer: &Layer) {
        self.0.entry((layer.tier, layer.ranked.rank)).or_insert((layer.ranked, 0)).1 += 1;
    }

    fn remove(&mut self, layer: &Layer) {
        let key = (layer.tier, layer.ranked.rank);
        if let Some((_, ranges)) = self.0.get_mut(&key) {
            *ranges -= 1;
            if *ranges == 0 {
                self.0.remove(&key);
            }
        }
    }

    fn verdict(&self) -> Verdict {
        let first = |tier| self.0.range((tier, 0)..=(tier, u32::MAX)).next().map(|(_, (ranked, _))| *ranked);
        Verdict {
            admin: first(Tier::Admin),
            network: first(Tier::Network).map(|ranked| ranked.rule),
            baseline: first(Tier::Baseline),
        }
    }
}

/// Stretches of a protocol's ports with the verdict of each: from one at which a range begins or ends to the next one.
fn sweep(layers: &[Layer], protocol: Protocol, mut cover: Cover) -> Vec<(u16, u16, Verdict)> {
    let mut edges: BTreeMap<u32, (Vec<&Layer>, Vec<&Layer>)> = BTreeMap::new();
    for layer in layers {
        for (_, first, last) in layer.ports.iter().filter(|(own, ..)| *own == protocol) {
            edges.entry(u32::from(*first)).or_default().0.push(layer);
            edges.entry(u32::from(*last) + 1).or_default().1.push(layer);
        }
    }
    let ends: Vec<u32> = edges.keys().skip(1).copied().collect();
    let mut found = Vec::new();
    for ((begin, (begun, ended)), end) in edges.into_iter().zip(ends) {
        begun.into_iter().for_each(|layer| cover.add(layer));
        ended.into_iter().for_each(|layer| cover.remove(layer));
        if let (Ok(first), Ok(last)) = (u16::try_from(begin), u16::try_from(end - 1)) {
            found.push((first, last, cover.verdict()));
        }
    }
    found
}

/// The fewest prefixes that have just these ports.
fn prefixes(first: u16, last: u16) -> impl Iterator<Item = (u16, u8)> {
    let (mut next, end) = (u32::from(first), u32::from(last) + 1);
    std::iter::from_fn(move || {
        if next >= end {
            return None;
        }
        // As many as the first one's place, and what is left, have room for.
        let aligned = if next == 0 { 16 } else { next.trailing_zeros() };
        let free_bits = aligned.min((end - next).ilog2());
        let prefix = (u16::try_from(next).ok()?, 16 - u8::try_from(free_bits).ok()?);
        next += 1 << free_bits;
        Some(prefix)
    })
}

fn mask(port: u16, bits: u8) -> u16 {
    port & u16::MAX.checked_shl(u32::from(16 - bits)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(tier: Tier, rank: u32, action: Action, ports: &[(u16, u16)]) -> Layer {
        let ports = ports.iter().map(|(first, last)| (Protocol::TCP, *first, *last)).collect();
        Layer { tier, ranked: Ranked { rank, action, rule: rank + 100 }, ports }
    }

    #[test]
    fn a_range_is_cut_into_the_fewest_prefixes() {
        let cut = |first, last| prefixes(first, last).collect::<Vec<_>>();
        assert_eq!(cut(80, 80), [(80, 16)]);
        assert_eq!(cut(0, u16::MAX), [(0, 0)]);
        assert_eq!(cut(1, 7), [(1, 16), (2, 15), (4, 14)]);
        assert_eq!(cut(u16::MAX, u16::MAX), [(u16::MAX, 16)]);
        assert_eq!(cut(1, u16::MAX - 1).len(), 30);
    }

    #[test]
    fn each_port_has_the_verdict_of_the_rules_that_cover_it() {
        let layers = [
            layer(Tier::Admin, 0, Action::Deny, &[(22, 22)]),
            layer(Tier::Admin, 1, Action::Accept, &[(20, 25), (80, 80)]),
            layer(Tier::Network, 2, Action::Accept, &[(443, 443)]),
            layer(Tier::Network, 3, Action::Accept, &[]),
            layer(Tier::Baseline, 4, Action::Deny, &[(0, u16::MAX)]),
        ];
        let table = flatten(&layers);
        for port in 0..=u16::MAX {
            let covers = |layer: &&Layer| {
                layer.ports.is_empty() || layer.ports.iter().any(|(_, first, last)| (*first..=*last).contains(&port))
            };
            let first = |tier| layers.iter().filter(covers).find(|layer| layer.tier == tier).map(|layer| layer.ranked);
            let slow = Verdict {
                admin: first(Tier::Admin),
                network: first(Tier::Network).map(|ranked| ranked.rule),
                baseline: first(Tier::Baseline),
            };
            assert_eq!(table.find(Protocol::TCP, port), slow, "{port}");
        }
        assert_eq!(table.find(Protocol::TCP, 22).admin.map(|first| first.rule), Some(100));
        assert_eq!(table.find(Protocol::TCP, 443).network, Some(102));
        assert_eq!(table.find(Protocol::UDP, 443), Verdict { network: Some(103), ..Verdict::default() });
        assert_eq!(table.find(Protocol::ICMP, 0).network, Some(103));
        assert_eq!(flatten(&[]), Table::default());
    }
}
