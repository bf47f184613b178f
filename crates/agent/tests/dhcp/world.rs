//! A LAN in a namespace of its own, with servers and containers on it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use weft_agent::shell::dhcp::{Asker, Want, Wishes};
use weft_kernel::sysctl;
use weft_model::{EndpointKey, MacAddr, NetnsRecord};
use weft_netns::Netns;

/// Long enough for whatever happens on one machine at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until `look` has an answer.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
}

/// Runs a command in `netns`, and gives its output.
pub(crate) fn run(netns: &Netns, line: &str) -> String {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    let output = netns.run(|| command.args(words).output()).unwrap();
    let output = output.unwrap_or_else(|error| panic!("{line}: {error}: run scripts/packages test"));
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The LAN: a bridge called `lan`, on which its servers have addresses.
pub(crate) struct Lan {
    pub(crate) netns: Netns,
    directory: PathBuf,
    containers: AtomicU32,
}

/// A container on the LAN.
pub(crate) struct Container {
    pub(crate) netns: Netns,
    pub(crate) asker: Asker,
    pub(crate) key: EndpointKey,
    path: PathBuf,
}

/// A daemon, which ends with its handle.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) leases: PathBuf,
    log: PathBuf,
}

impl Lan {
    pub(crate) fn new(test: &str) -> Self {
        let netns = Netns::create().expect("a namespace (needs root)");
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dhcp-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        netns.run(|| sysctl::write("net/ipv6/conf/default/accept_dad", "0").unwrap()).unwrap();
        run(&netns, "ip link set lo up");
        run(&netns, "ip link add lan type bridge");
        run(&netns, "ip link set lan up");
        run(&netns, "ip addr add 10.77.0.1/24 dev lan");
        run(&netns, "ip addr add fd77::1/64 dev lan nodad");
        Self { netns, directory, containers: AtomicU32::new(0) }
    }

    /// A container whose interface is up, and has no addresses but a link-local one to come.
    pub(crate) fn container(&self, v6: Want) -> Container {
        let n = self.containers.fetch_add(1, Ordering::Relaxed);
        let netns = Netns::create().unwrap();
        let path = self.directory.join(format!("netns-{n}"));
        netns.pin(&path).unwrap();
        let mac = MacAddr([2, 0x77, 0, 0, 0, u8::try_from(n).unwrap()]);
        let made = format!("ip link add port{n} master lan type veth peer eth0 address {mac} netns {}", path.display());
        run(&self.netns, &made);
        run(&self.netns, &format!("ip link set port{n} up"));
        let key: EndpointKey =
            EndpointKey { container: format!("c{n}").parse().unwrap(), ifname: "eth0".parse().unwrap() };
        let listens = if v6 == Want::Unwanted { "0" } else { "2" };
        netns.run(|| sysctl::write("net/ipv6/conf/eth0/accept_ra", listens).unwrap()).unwrap();
        run(&netns, "ip link set eth0 up");
        Container { asker: Asker::of(&key, mac), netns, key, path }
    }

    /// Starts a daemon, and waits until it listens to the UDP port.
    fn daemon(&self, name: &str, command: &mut Command, port: u16) -> Daemon {
        let log = self.directory.join(format!("{name}.log"));
        let file = std::fs::File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        command.env("KEA_PIDFILE_DIR", &self.directory).env("KEA_LOCKFILE_DIR", &self.directory);
        let child = self.netns.run(|| command.spawn()).unwrap();
        let child = child.unwrap_or_else(|error| panic!("{name}: {error}: run scripts/packages test"));
        let mut daemon = Daemon { child, leases: self.directory.join(format!("{name}.leases")), log };
        let sockets = |daemon: &mut Daemon| {
            assert!(daemon.child.try_wait().unwrap().is_none(), "{name} ended");
            let read = |file| std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap();
            let sockets = self.netns.run(|| [read("udp"), read("udp6")].concat()).unwrap();
            sockets.contains(&format!(":{port:04X} ")).then_some(())
        };
        wait_for("a server that listens", || sockets(&mut daemon));
        daemon
    }

    /// A dnsmasq that gives out leases of two minutes, its shortest.
    pub(crate) fn dnsmasq(&self, options: &[&str]) -> Daemon {
        let leases = self.directory.join("dnsmasq.leases");
        let mut command = Command::new("/usr/sbin/dnsmasq");
        command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=lan", "--user=root"]);
        command.args(["--bind-interfaces", "--no-ping", "--log-dhcp", "--log-facility=-", "--pid-file="]);
        command.arg(format!("--dhcp-leasefile={}", leases.display())).args(options);
        let port = if options.iter().any(|option| option.contains("10.77")) { 67 } else { 547 };
        self.daemon("dnsmasq", &mut command, port)
    }

    /// A kea of the family, with this in its configuration.
    pub(crate) fn kea(&self, family: u8, configuration: &str) -> Daemon {
        let name = format!("kea-dhcp{family}");
        let leases = self.directory.join(format!("{name}.leases"));
        let path = self.directory.join(format!("{name}.json"));
        // It would keep its DUID below /var, which is not the test's.
        let duid =
            r#""server-id": { "type": "EN", "enterprise-id": 2495, "identifier": "77656674", "persist": false },"#;
        let duid = if family == 6 { duid } else { "" };
        let text = format!(
            r#"{{"Dhcp{family}": {{ {duid}
                "interfaces-config": {{ "interfaces": ["lan"] }},
                "lease-database": {{ "type": "memfile", "persist": true, "name": "{}" }},
                "loggers": [{{ "name": "{name}", "severity": "INFO", "output_options": [{{ "output": "stdout" }}] }}],
                {configuration}
            }} }}"#,
            leases.display()
        );
        std::fs::write(&path, text).unwrap();
        let mut command = Command::new(format!("/usr/sbin/{name}"));
        self.daemon(&name, command.arg("-c").arg(&path), if family == 4 { 67 } else { 547 })
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Container {
    pub(crate) fn wishes(v4: Want, v6: Want) -> Wishes {
        Wishes { v4, v6, hostname: Some("web".to_owned()), timeout: PATIENCE }
    }

    pub(crate) fn record(&self) -> NetnsRecord {
        let id = self.netns.id();
        NetnsRecord { path: self.path.display().to_string(), device: id.device, inode: id.inode, cookie: 0 }
    }

    /// Takes the path away, as a runtime does at a container's death.
    pub(crate) fn unpin(&self) {
        Netns::unpin(&self.path).unwrap();
    }

    pub(crate) fn set(&self, address: impl std::fmt::Display) {
        run(&self.netns, &format!("ip addr replace {address} dev eth0"));
    }

    pub(crate) fn has(&self, address: IpAddr) -> bool {
        run(&self.netns, "ip addr show dev eth0").contains(&format!(" {address}/"))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.unpin();
    }
}

impl Daemon {
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn leases(&self) -> String {
        std::fs::read_to_string(&self.leases).unwrap_or_default()
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        self.kill();
    }
}
