//! weft's own table of nftables rules, written whole whenever it is not what it must be.

use std::collections::BTreeMap;

use weft_kernel::nft::{Digest, Nft, NftError, OWN_TABLE, Table};
use weft_reconcile::Target;

/// The one table.
pub struct OwnTable<'a> {
    /// The host's rules.
    pub nft: &'a mut Nft,
}

impl Target for OwnTable<'_> {
    type Key = ();
    type Desired = Table;
    type Actual = Digest;
    type Error = NftError;

    fn read_back(&mut self) -> Result<BTreeMap<(), Digest>, NftError> {
        Ok(self.nft.digest(OWN_TABLE)?.map(|digest| ((), digest)).into_iter().collect())
    }

    fn is_settled(&self, (): &(), table: &Table, actual: &Digest) -> bool {
        table.digest().is_ok_and(|wanted| wanted == *actual)
    }

    fn update(&mut self, (): &(), table: &Table) -> Result<(), NftError> {
        self.nft.replace(table)
    }

    fn delete(&mut self, (): &()) -> Result<(), NftError> {
        self.nft.delete(OWN_TABLE)
    }
}
