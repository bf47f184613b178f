//! The thread that keeps the leases of all endpoints of the host: it sleeps until one is to be extended, opens a line
//! into that container's namespace, asks, and closes it again.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use ipnet::IpNet;
use rustix::event::EventfdFlags;
use weft_dhcp::{Client, Held, Loss};
use weft_model::{EndpointKey, Family, Lease, NetnsRecord};
use weft_netns::Netns;

use super::acquire::{note, wait};
use super::course::{Course, Ground, Turn};
use super::line::Line;
use super::{Asker, DhcpError, moment};
use crate::attach;

/// Lines that are open at once, of three descriptors each. More leases than that which are due wait for a line, four
/// seconds if no server answers.
const LINES_MAX: usize = 128;
/// Orders and news that wait to be read.
pub const NEWS_MAX: usize = 1024;
/// Until who is due and found no line looks for one again.
const LINE_WAIT: Duration = Duration::from_millis(10);
/// Longest sleep. The clock of leases goes on while the host is asleep, that of poll(2) does not.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// A lease to be kept, and all that is needed for that.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// Whose.
    pub key: EndpointKey,
    /// The container's namespace.
    pub netns: NetnsRecord,
    /// Who asks.
    pub asker: Asker,
    /// What servers may call it.
    pub hostname: Option<String>,
    /// What it holds.
    pub lease: Lease,
}

/// A lease is another than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Whose.
    pub key: EndpointKey,
    /// The namespace of the one that is meant: another may have its key by now.
    pub netns: NetnsRecord,
    /// All that it holds now.
    pub lease: Lease,
    /// What is different.
    pub what: What,
}

/// What became of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The address is held for longer; nothing else is different.
    Extended(IpNet),
    /// The address is the same; the length of its subnet, its routes or its name servers are not.
    Changed(IpNet),
    /// An address is there that was not: it has been probed, and is to be set.
    Gained(IpNet),
    /// The address must not be used any more, and is to be taken away. Another is asked for.
    Lost(IpNet, Loss),
    /// The namespace is gone, or another has its path: the lease is kept no more.
    Gone,
}

enum Order {
    Keep(Box<Keeping>),
    Forget(EndpointKey),
}

/// The way to the thread.
#[derive(Clone)]
pub struct Keeper {
    orders: SyncSender<Order>,
    bell: Arc<OwnedFd>,
}

/// The thread, before it is started: what is ordered until then waits.
pub struct Beginning {
    ordered: Receiver<Order>,
    rung: Arc<OwnedFd>,
}

impl Beginning {
    /// Starts the thread. Whoever has the receiver is told what becomes of the leases, and must read it: a keeper that
    /// nobody listens to stands still. `may_have` says whether an endpoint may have an address that a server gives it.
    pub fn start(
        self,
        may_have: impl Fn(&EndpointKey, IpAddr) -> bool + Send + 'static,
    ) -> Result<Receiver<News>, std::io::Error> {
        let (tell, told) = sync_channel(NEWS_MAX);
        let shelf = Shelf { kept: BTreeMap::new(), tell, may_have: Box::new(may_have) };
        let Self { ordered, rung } = self;
        std::thread::Builder::new().name("dhcp-keeper".to_owned()).spawn(move || shelf.run(&ordered, &rung))?;
        Ok(told)
    }
}

impl Keeper {
    /// The way to a thread that is yet to be started.
    pub fn open() -> Result<(Self, Beginning), std::io::Error> {
        let bell = Arc::new(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (orders, ordered) = sync_channel(NEWS_MAX);
        let rung = Arc::clone(&bell);
        Ok((Self { orders, bell }, Beginning { ordered, rung }))
    }

    /// Keeps a lease from now on, also one that an earlier agent got. A lease that endpoint had before is forgotten.
    pub fn keep(&self, keeping: Keeping) {
        self.order(Order::Keep(Box::new(keeping)));
    }

    /// Keeps the lease no more, without a word to its servers; see [`super::release`]. News of it that are under way
    /// may still come.
    pub fn forget(&self, key: &EndpointKey) {
        self.order(Order::Forget(key.clone()));
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_err() {
            return tracing::error!("the keeper of leases is gone: addresses will expire");
        }
        // One that is full was rung often enough.
        let _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
    }
}

/// One endpoint's leases.
struct Kept {
    netns: NetnsRecord,
    asker: Asker,
    lease: Lease,
    courses: Vec<Course>,
}

/// Says whether an endpoint may have an address.
type MayHave = Box<dyn Fn(&EndpointKey, IpAddr) -> bool + Send>;

/// All leases, and who is told of them.
struct Shelf {
    kept: BTreeMap<EndpointKey, Kept>,
    tell: SyncSender<News>,
    may_have: MayHave,
}

/// A container's interface, as the clients of one family see it.
struct Site<'a> {
    key: &'a EndpointKey,
    netns: &'a NetnsRecord,
    asker: &'a Asker,
    family: Family,
    may_have: &'a dyn Fn(&EndpointKey, IpAddr) -> bool,
    /// The namespace was looked for, and is gone.
    is_gone: bool,
}

impl Ground for Site<'_> {
    fn open(&mut self, own: Option<Ipv4Addr>) -> Result<Line, DhcpError> {
        let opened = open(self.netns);
        self.is_gone |= matches!(&opened, Ok(None));
        let netns = opened?.ok_or_else(|| gone(self.netns))?;
        Line::open(&netns, self.asker, self.family, own)
    }

    fn may_have(&mut self, address: IpAddr) -> bool {
        (self.may_have)(self.key, address)
    }
}

impl Shelf {
    fn run(mut self, ordered: &Receiver<Order>, bell: &OwnedFd) {
        loop {
            loop {
                match ordered.try_recv() {
                    Ok(Order::Keep(keeping)) => self.put(*keeping),
                    Ok(Order::Forget(key)) => drop(self.kept.remove(&key)),
                    Err(std::sync::mpsc::TryRecvError::Empty) => break,
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
                }
            }
            let due = self.due();
            if !due.iter().all(|key| self.turn(key)) {
                return;
            }
            let sources = self.kept.values().flat_map(|kept| &kept.courses).flat_map(Course::sources);
            let sources: Vec<_> = std::iter::once(bell.as_fd()).chain(sources).collect();
            if let Err(error) = wait(&sources, self.next()) {
                return tracing::error!(%error, "leases are kept no more: start weftd anew");
            }
            let _ = rustix::io::read(bell, &mut [0; 8]);
        }
    }

    fn put(&mut self, keeping: Keeping) {
        let Keeping { key, netns, asker, hostname, lease } = keeping;
        let client = |grant| Client::resume(asker.identity.clone(), hostname.as_deref(), grant);
        let courses = lease.grants().cloned().map(|grant| Course::new(client(grant))).collect();
        self.kept.insert(key, Kept { netns, asker, lease, courses });
    }

    /// Who may have something to do: whoever has a line, and the others in the order in which they are due, as long as
    /// there are lines. Whose time is over needs none.
    fn due(&self) -> Vec<EndpointKey> {
        let now = moment().now;
        let is_open = |kept: &Kept| kept.courses.iter().any(Course::is_open);
        let mut due: Vec<(Duration, &EndpointKey)> = Vec::new();
        let mut lines = 0;
        for (key, kept) in &self.kept {
            lines += kept.courses.iter().filter(|course| course.is_open()).count();
            let first = kept.courses.iter().filter_map(Course::due_at).min();
            let first = if is_open(kept) { Some(Duration::ZERO) } else { first.filter(|at| *at <= now) };
            due.extend(first.map(|at| (at, key)));
        }
        due.sort();
        let mut free = LINES_MAX.saturating_sub(lines);
        let mut admitted = Vec::new();
        for (at, key) in due {
            let is_over = self.kept[key].lease.grants().any(|g| g.times.end_s().is_some_and(|s| s <= now.as_secs()));
            if at.is_zero() || is_over {
                admitted.push(key.clone());
            } else if free > 0 {
                free = free.saturating_sub(self.kept[key].courses.len());
                admitted.push(key.clone());
            }
        }
        admitted
    }

    /// One endpoint's turn; false if nobody listens any more.
    fn turn(&mut self, key: &EndpointKey) -> bool {
        let Some(kept) = self.kept.get_mut(key) else { return true };
        let (mut is_gone, mut news) = (false, Vec::new());
        let Kept { netns, asker, lease, courses } = kept;
        for course in courses {
            let family = course.client.family();
            let mut site = Site { key, netns, asker, family, may_have: &*self.may_have, is_gone: false };
            let turns = course.turn(&mut site);
            is_gone |= site.is_gone;
            course.rest();
            for turn in turns {
                let what = what(&turn);
                note(lease, family, turn);
                news.push(News { key: key.clone(), netns: netns.clone(), lease: lease.clone(), what });
            }
        }
        if is_gone {
            let (netns, lease) = (netns.clone(), lease.clone());
            self.kept.remove(key);
            news.push(News { key: key.clone(), netns, lease, what: What::Gone });
        }
        news.into_iter().all(|news| self.tell.send(news).is_ok())
    }

    /// When somebody is due.
    fn next(&self) -> Duration {
        let now = moment().now;
        let due = self.kept.values().flat_map(|kept| &kept.courses).filter_map(Course::due_at);
        due.fold(now + SLEEP_MAX, Duration::min).max(now + LINE_WAIT)
    }
}

fn what(turn: &Turn) -> What {
    match turn {
        Turn::Held(grant, Held::Anew) => What::Gained(grant.address),
        Turn::Held(grant, Held::Longer) => What::Extended(grant.address),
        Turn::Held(grant, Held::Changed) => What::Changed(grant.address),
        Turn::Lost(address, loss) => What::Lost(*address, *loss),
    }
}

/// The namespace of the record; `None` if it is gone, or its path leads to another.
fn open(record: &NetnsRecord) -> Result<Option<Netns>, DhcpError> {
    match Netns::open(&record.path) {
        Ok(netns) => Ok(Some(netns).filter(|netns| attach::is_same(record, netns.id()))),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn gone(record: &NetnsRecord) -> DhcpError {
    weft_netns::NetnsError::NotNamespace { what: format!("what {} was", record.path) }.into()
}
