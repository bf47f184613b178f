//! weft's marked accepts in the forward chains of others (Docker's, firewalls'): without them those drop what goes
//! to or comes from containers, whatever weft's own table says.

use std::collections::BTreeMap;

use weft_kernel::link::NAME_PREFIX;
use weft_kernel::nft::{ChainRef, Field, ForwardChain, Interface, Match, Nft, NftError};
use weft_reconcile::Target;

/// Which way a rule looks, and so its comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From containers.
    Out,
    /// To containers.
    In,
}

impl Direction {
    const ALL: [Direction; 2] = [Direction::Out, Direction::In];

    /// The mark of the rule.
    pub fn comment(self) -> &'static str {
        match self {
            Direction::Out => "weft: from containers",
            Direction::In => "weft: to containers",
        }
    }

    fn matches(self) -> Match {
        let ours = Interface::Prefixed(NAME_PREFIX.to_owned());
        Match::Is(match self {
            Direction::Out => Field::Input(ours),
            Direction::In => Field::Output(ours),
        })
    }
}

/// A rule's place.
pub type Key = (ChainRef, Direction);

/// The rules that `chains` make necessary.
pub fn desired(chains: &[ForwardChain]) -> BTreeMap<Key, ()> {
    let refusing = chains.iter().filter(|chain| chain.refuses);
    refusing.flat_map(|chain| Direction::ALL.map(|way| ((chain.place().clone(), way), ()))).collect()
}

/// The rules of one host.
pub struct Accepts<'a> {
    /// The host's rules.
    pub nft: &'a mut Nft,
}

impl Target for Accepts<'_> {
    type Key = Key;
    type Desired = ();
    type Actual = ();
    type Error = NftError;

    fn read_back(&mut self) -> Result<BTreeMap<Key, ()>, NftError> {
        let mut found = BTreeMap::new();
        for way in Direction::ALL {
            found.extend(self.nft.accepts(way.comment())?.into_iter().map(|accept| ((accept.at, way), ())));
        }
        Ok(found)
    }

    fn is_settled(&self, _: &Key, (): &(), (): &()) -> bool {
        true
    }

    fn update(&mut self, (at, way): &Key, (): &()) -> Result<(), NftError> {
        if self.nft.insert_accept(at, &[way.matches()], way.comment())? {
            tracing::info!(%at, rule = way.comment(), "added an accept to a foreign chain that drops");
        }
        Ok(())
    }

    /// A chain that drops no longer needs no accept.
    fn delete(&mut self, (at, way): &Key) -> Result<(), NftError> {
        self.nft.remove_accept(at, way.comment())
    }
}
