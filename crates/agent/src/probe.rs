//! What this kernel has of what weft is built on: asked, not guessed from its version.

use std::collections::BTreeMap;

use weft_dataplane::Told;
use weft_kernel::link::{self, LinkKind};
use weft_kernel::{KernelError, Netlink, throttle};
use weft_model::Attachment;

/// Kinds of links that an attachment cannot do without.
const ATTACHMENTS: &[(Attachment, &[LinkKind])] = &[
    (Attachment::Bridge, &[LinkKind::Veth, LinkKind::Bridge]),
    (Attachment::Routed, &[LinkKind::Veth]),
    (Attachment::Macvlan, &[LinkKind::Veth]),
    (Attachment::Ipvlan, &[LinkKind::Ipvlan, LinkKind::Ifb]),
];

const VLANS: &str = "VLANs on parents";
/// What else needs a kind of link: what it is called in `weft status`.
const FEATURES: &[(&str, LinkKind)] = &[(VLANS, LinkKind::Vlan), ("limits of what is sent", LinkKind::Ifb)];

/// Whose packets are whose on a parent that many sit on, beyond what they say themselves.
const SENDERS: &str = "neighbours of ipvlan told apart by their namespaces";
const UNTYPED: &str =
    "this kernel lacks CONFIG_DEBUG_INFO_BTF, by which programs find their way in it: use one that has it";
const UNTOLD: &str = "one with CAP_NET_RAW can send as another: use Linux 6.2 or newer, which says whose socket sent";

/// What is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// By attachment, the remedy.
    pub attachments: BTreeMap<Attachment, String>,
    /// By feature, the remedy for those that this kernel has not.
    pub features: Vec<(&'static str, Option<String>)>,
}

impl Missing {
    /// The remedy if there are no VLANs.
    pub fn vlans(&self) -> Option<&str> {
        self.features.iter().find(|(name, _)| *name == VLANS).and_then(|(_, remedy)| remedy.as_deref())
    }
}

/// Asks the kernel.
pub fn missing(netlink: &mut Netlink) -> Result<Missing, KernelError> {
    let mut absent = BTreeMap::new();
    for kind in LinkKind::ALL {
        if !link::is_supported(netlink, *kind)? {
            absent.insert(*kind, remedy(*kind));
        }
    }
    let of_attachment = |(attachment, kinds): &(Attachment, &[LinkKind])| {
        Some((*attachment, kinds.iter().find_map(|kind| absent.get(kind))?.clone()))
    };
    let of_feature = |(name, kind): &(&'static str, LinkKind)| {
        let also = || (*kind == LinkKind::Ifb).then(throttle::lack).flatten();
        (*name, absent.get(kind).cloned().or_else(also))
    };
    let told = weft_dataplane::told();
    let on_parents = Attachment::ALL.iter().filter(|attachment| attachment.sits_on_parent());
    let untyped = on_parents.filter(|_| told == Told::Nothing).map(|attachment| (*attachment, UNTYPED.to_owned()));
    let untold = (told != Told::All).then(|| UNTOLD.to_owned());
    Ok(Missing {
        attachments: untyped.chain(ATTACHMENTS.iter().filter_map(of_attachment)).collect(),
        features: FEATURES.iter().map(of_feature).chain([(SENDERS, untold)]).collect(),
    })
}

fn remedy(kind: LinkKind) -> String {
    let (option, module) = (kind.option(), kind.module());
    format!("this kernel lacks {option}: load its module by `modprobe {module}`, or use a kernel that has it")
}
